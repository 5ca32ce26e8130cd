"""A child ends with its parent, however the parent ends and whatever the child does."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

CHILD = """
import os, signal, sys, time
from engine.process import end_with_parent

if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
end_with_parent(int(sys.argv[1]), grace_seconds=0.2)
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]])
time.sleep(600)
"""


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("child", "end"), [("plain", signal.SIGKILL), ("deaf", signal.SIGTERM)])
def test_a_child_ends_soon_after_its_parent(child: str, end: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, CHILD, child]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.7)
        assert not has_ended(pid)
        parent.send_signal(end)
        parent.wait()
    deadline = time.monotonic() + 30
    while not has_ended(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def test_a_child_whose_parent_was_gone_before_it_asked_ends_too() -> None:
    ended = subprocess.run([sys.executable, "-c", CHILD, "1", "plain"], check=False, timeout=30, capture_output=True)
    assert os.getpid() != 1
    assert ended.returncode == -signal.SIGTERM
