"""The trainer as a child process: a run folder in, a report out. Knows files and exit statuses, no model."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import RunError
from engine.run import METRICS_FILE, OUT_OF_MEMORY, Progress, RunReport, read_progress, read_report

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_GRACE_SECONDS = 3.0


async def train(run_dir: Path, *, on_progress: Callable[[Progress], None]) -> RunReport:
    """Run `python -m engine.train RUN_DIR` to its end; cancelling this ends the child.

    Raises:
        MemoryError: the child ran out of memory, or was killed as one that takes too much is.
        RunError: it failed; the sentence says how.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.train", str(run_dir), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    watcher = asyncio.create_task(_watch(run_dir / METRICS_FILE, on_progress))
    try:
        _, stderr = await child.communicate()
    finally:
        watcher.cancel()
        await stop_child(child)
    lines = stderr.decode(errors="replace").strip().splitlines()
    for line in lines:
        logger.info("trainer: %s", line)
    if child.returncode in (OUT_OF_MEMORY, -signal.SIGKILL):  # Linux kills what takes too much
        raise MemoryError("the trainer ran out of memory, or was killed")
    if child.returncode != 0:
        said = lines[-1] if lines else ""
        raise RunError(f"The trainer ended with status {child.returncode}. {said}".strip())
    return read_report(run_dir)


async def stop_child(child: asyncio.subprocess.Process) -> None:
    """End a child process: ask first, then kill; returns once it is gone."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _GRACE_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _watch(metrics: Path, on_progress: Callable[[Progress], None]) -> None:
    last = None
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        progress = read_progress(metrics)
        if progress is not None and progress != last:
            last = progress
            on_progress(progress)
