"""Child processes: stopping them, and why one has ended.

Every child leads a process group of its own (`start_new_session`), so that what it starts ends with it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from engine.process import OUT_OF_MEMORY, tells_of_no_memory

_GRACE_SECONDS = 3.0
_LAST_LINES = 3


async def stop_child(child: asyncio.subprocess.Process) -> None:
    """Terminate a child, and kill it if it takes too long; returns once it is gone."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), _GRACE_SECONDS)
    await kill_child(child)


async def kill_child(child: asyncio.subprocess.Process) -> None:
    """Kill a child and whatever it has started; returns once it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group has ended
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def ran_out_of_memory(status: int, last_lines: Sequence[str]) -> bool:
    """Whether the child was OOM-killed, or reported that it was out of memory."""
    if status in (OUT_OF_MEMORY, -signal.SIGKILL):
        return True
    return status != 0 and any(tells_of_no_memory(line) for line in last_lines[-_LAST_LINES:])


def describe_end(status: int, last_lines: Sequence[str]) -> str:
    """How a child ended, for a log line."""
    if status == -signal.SIGKILL:
        return "was killed, most likely because memory ran out"
    if ran_out_of_memory(status, last_lines):
        return f"ran out of memory (status {status})"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
