"""The `ovation` command where somebody looks on: with stderr, or everything, at a terminal."""

import os
import pty
import re
import subprocess
import sys
import threading

import psutil

from bot.common.settings import child_environment


def at_a_terminal(*arguments: str, is_all: bool = False) -> tuple[int, str, str]:
    """Run a command; returns its status, what it printed, and what stood at the terminal without colours and the like.

    With `is_all` what it prints stands there, too.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", *arguments], stdout=theirs if is_all else subprocess.PIPE, stderr=theirs,
        env=child_environment({"MODEL": "starter"}) | {"TERM": "xterm-256color", "COLUMNS": "100"}, text=True,
    )  # fmt: skip
    os.close(theirs)
    stood = bytearray()
    watching = threading.Thread(target=_watch, args=(ours, stood))
    watching.start()
    printed, _ = process.communicate()
    watching.join()
    os.close(ours)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", stood.decode().replace("\r\n", "\n"))
    return process.returncode, printed or "", plain


def _watch(terminal: int, stood: bytearray) -> None:
    while True:
        try:
            stood += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            return


def engines() -> set[int]:
    """The engines that this process has started, the fixtures' included."""
    return {child.pid for child in psutil.Process().children() if "engine.serve" in child.cmdline()}
