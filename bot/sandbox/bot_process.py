"""A real bot against the sandbox: `python -m bot` as a child process, over HTTP, in a folder of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.common.errors import StartError
from bot.common.settings import child_environment
from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import NoProgress
from bot.sandbox.world.world import STALL_SECONDS

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
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._program = program
        self.sandbox = sandbox
        self.folder = folder
        self.stall_seconds = stall_seconds
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
    def log_tail(self) -> str:
        """The last lines of the log, on one."""
        return " ".join(self.log.splitlines()[-_LAST_LINES:])

    async def start(self) -> None:
        """Start the bot and wait until it is ready.

        Raises:
            StartError: it ended before that, or logs nothing any more.
        """
        before = self._times_ready()
        await self.spawn()
        process = self.process
        assert process is not None, "it has just been spawned"
        try:
            await self.sandbox.world.until_or_stalled(
                lambda: self._times_ready() > before or process.returncode is not None,
                activity=lambda: len(self.log), stall_seconds=self.stall_seconds,
                complaint="The bot is not ready, and has logged nothing",
            )  # fmt: skip
        except NoProgress as error:
            raise StartError(str(error), exit_status=1) from error
        if process.returncode is not None:
            raise StartError(f"The bot did not start: {self.log_tail}", exit_status=1)

    async def ended(self) -> str:
        """Wait until the bot ends; a sentence on how it did."""
        assert self.process is not None, "waited for only once it has been started"
        return f"The bot ended with status {await self.process.wait()}: {self.log_tail}"

    async def spawn(self) -> None:
        """Start the bot and do not wait."""
        with (self.folder / "bot.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, cwd=self.folder, env=self.environment, stderr=log,
                stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _times_ready(self) -> int:
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
