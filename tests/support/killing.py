"""Children that are killed at a chosen point: a system call (by strace), or a statement of SQLite's."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MOST_STEPS = 4000


def need_strace() -> None:
    """Skip where children cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-f", "-e", "trace=none", "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here")


def steps() -> Iterator[int]:
    """1, 2, 3, 5, 9, 17 …: every early step, and the later ones more thinly."""
    step = 1
    while step < MOST_STEPS:
        yield step
        step = max(step + 1, 2 * step - 1)


def killed_at_syscall(step: int, syscall: str, program: str, *arguments: object) -> bool:
    """Run a Python program that is killed at its n-th call of one kind; False when it made fewer and ended well."""
    command = ["strace", "-qqq", "-o", "/dev/null", "-e", f"trace={syscall}"]
    command += ["-e", f"inject={syscall}:signal=SIGKILL:when={step}"]
    command += [sys.executable, "-B", "-c", program, *map(str, arguments)]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, check=False, capture_output=True, cwd=root)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()
    return ended.returncode != 0


def killed_at_statement(step: int, file: Path, action: Callable[[sqlite3.Connection], object]) -> bool:
    """Do something to a database in a child that is killed at its n-th statement; False when it made fewer."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _do_until(step, file, action)
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert ended in (0, signal.SIGKILL), "the action failed by itself"
    return ended != 0


def _do_until(step: int, file: Path, action: Callable[[sqlite3.Connection], object]) -> None:
    left = step

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.set_trace_callback(count)
    action(connection)
    connection.set_trace_callback(None)
    connection.close()
