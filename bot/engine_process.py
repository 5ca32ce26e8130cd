"""The engine as a child process: started, watched, started again when it dies. Knows a port and a process, no model."""

import asyncio
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.errors import StartError
from bot.trainer import stop_child
from engine.client import EngineClient
from engine.errors import EngineError
from storage.errors import StorageError

logger = logging.getLogger(__name__)

START_SECONDS = 600.0
"""A large model may take this long to load."""

_POLL_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EngineProcess:
    """Keeps `python -m engine.serve` running; `on_ready` is awaited each time it has (re)started."""

    def __init__(self, *, model: str, port: int, versions: Path, client: EngineClient) -> None:
        self._command = (
            sys.executable, "-m", "engine.serve", "--model", model, "--host", "127.0.0.1", "--port", str(port),
            "--versions", str(versions.absolute()), "--parent-pid", str(os.getpid()),
        )  # fmt: skip
        self._client = client
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=5)

    async def start(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        """Start the engine, wait until it answers, and keep it running from then on.

        Raises:
            StartError: it ended before it was ready, or was not ready in time.
        """
        await self._spawn()
        await on_ready()
        self._keeper = asyncio.create_task(self._keep(on_ready), name="engine keeper")

    async def stop(self) -> None:
        """End the engine and stop watching it."""
        for task in (self._keeper, self._reader):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._child is not None:
            await stop_child(self._child)

    async def _spawn(self) -> None:
        self._child = child = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._relay(child), name="engine log")
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._client.is_ready():
                    if child.returncode is not None:
                        await self._reader
                        said = self._last_lines[-1] if self._last_lines else f"status {child.returncode}"
                        raise StartError(f"The engine did not start: {said}", exit_status=child.returncode or 1)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise StartError(f"The engine was not ready within {START_SECONDS:.0f} seconds.", exit_status=1) from error
        logger.info("the engine is ready")

    async def _keep(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            assert self._child is not None, "the engine is kept only once it has started"
            loop = asyncio.get_running_loop()
            since = loop.time()
            await self._child.wait()
            if loop.time() - since > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            logger.error("the engine ended with status %s; starting it again", self._child.returncode)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                await self._spawn()
                await on_ready()
            except (StartError, EngineError, StorageError) as error:
                logger.error("%s", error)

    async def _relay(self, child: asyncio.subprocess.Process) -> None:
        """Pass the engine's own log lines on."""
        assert child.stderr is not None, "stderr is a pipe"
        async for line in child.stderr:
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            logger.info("engine: %s", text)
