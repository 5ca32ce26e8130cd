"""Waiting for as long as something moves, never until a fixed time: beside other work all may take ten times as long.

Knows a world, and how to take a pulse. Knows nothing of what beats.

A real bot against the sandbox: `python -m bot` as a child process, over HTTP, in a folder of its own.

Knows processes and settings. Knows nothing of what the bot does.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bot.common.errors import StartError
from bot.common.settings import child_environment
from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import Standstill
from bot.sandbox.world.world import World

Found = TypeVar("Found")

PATIENCE_SECONDS = 900.0
"""How long nothing may move: longer than a bot needs to see that its engine does not start
(`bot.serving.engine_process`)."""


def unchanging() -> None:
    """The pulse of what gives no sign until it is there."""


async def while_moving(
    world: World,
    check: Callable[[], Found | None],
    *,
    pulse: Callable[[], object] = unchanging,
    patience_seconds: float = PATIENCE_SECONDS,
    still: str,
) -> Found:
    """The first truthy value of `check`, waited for as long as `pulse()` keeps changing; see `World.until`.

    Raises:
        Standstill: the pulse was the same after `patience_seconds`; `still` is the sentence for it, but for the time.
    """
    while True:
        before = pulse()
        try:
            return await world.until(check, patience_seconds)
        except TimeoutError:
            if pulse() == before:
                raise Standstill(f"{still} for {patience_seconds:.0f} seconds.") from None


_LAST_LINES = 5


class BotChild:
    """One bot; it may be started, stopped and started again on the same data."""

    def __init__(
        self,
        sandbox: Sandbox,
        folder: Path,
        settings: Mapping[str, str],
        *,
        program: Sequence[str] = ("-m", "bot"),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._program = program
        self.sandbox = sandbox
        self.folder = folder
        self.patience_seconds = patience_seconds
        self.settings = {
            "TELEGRAM_BOT_TOKEN": sandbox.token,
            "TELEGRAM_API_URL": sandbox.url,
            "DATA_DIR": str(folder / "data"),
            **settings,
        }
        self.process: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the bot, and commands beside it, are started with."""
        return child_environment(self.settings)

    @property
    def log(self) -> str:
        """Everything the bot has logged."""
        file = self.folder / "bot.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def last_words(self) -> str:
        """The last lines of the log, on one."""
        return " ".join(self.log.splitlines()[-_LAST_LINES:])

    async def start(self) -> None:
        """Start the bot and wait until it is ready.

        Raises:
            StartError: it ended before that, or logs nothing any more.
        """
        before = self._readied()
        await self.spawn()
        process = self.process
        assert process is not None, "it has just been spawned"
        try:
            await while_moving(
                self.sandbox.world, lambda: self._readied() > before or process.returncode is not None,
                pulse=lambda: len(self.log), patience_seconds=self.patience_seconds,
                still="The bot is not ready, and has logged nothing",
            )  # fmt: skip
        except Standstill as error:
            raise StartError(str(error), exit_status=1) from error
        if process.returncode is not None:
            raise StartError(f"The bot did not start: {self.last_words}", exit_status=1)

    async def ended(self) -> str:
        """Wait until the bot ends; a sentence on how it did."""
        assert self.process is not None, "waited for only once it has been started"
        return f"The bot ended with status {await self.process.wait()}: {self.last_words}"

    async def spawn(self) -> None:
        """Start the bot and do not wait."""
        with (self.folder / "bot.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, cwd=self.folder, env=self.environment, stderr=log,
                stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _readied(self) -> int:
        """How often a bot in this folder has said that it is ready; a long poll is a call only once it has ended."""
        return self.log.count(" ready: @")

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal (SIGKILL goes to the bot's children too) and wait for the exit status."""
        assert self.process is not None, "stopped only once it has been started"
        if self.process.returncode is None:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            self.process.send_signal(number)
        return await self.process.wait()
