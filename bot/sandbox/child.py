"""A real bot against the sandbox: `python -m bot` as a child process, over HTTP, in a folder of its own.

Knows processes and settings. Knows nothing of what the bot does.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.errors import StartError
from bot.sandbox.server import Sandbox
from bot.settings import child_environment

START_SECONDS = 120.0
_LAST_LINES = 5


class BotChild:
    """One bot; it may be started, stopped and started again on the same data."""

    def __init__(
        self, sandbox: Sandbox, folder: Path, settings: Mapping[str, str], *, program: Sequence[str] = ("-m", "bot")
    ) -> None:
        self._program = program
        self.sandbox = sandbox
        self.folder = folder
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

    async def start(self) -> None:
        """Start the bot and wait until it is ready.

        Raises:
            StartError: it ended before that, or took too long.
        """
        before = self._readied()
        await self.spawn()
        process = self.process
        assert process is not None, "it has just been spawned"
        try:
            await self.sandbox.world.until(
                lambda: self._readied() > before or process.returncode is not None, START_SECONDS
            )
        except TimeoutError as error:
            raise StartError(f"The bot was not ready within {START_SECONDS:.0f} seconds.", exit_status=1) from error
        if process.returncode is not None:
            last = " ".join(self.log.splitlines()[-_LAST_LINES:])
            raise StartError(f"The bot did not start: {last}", exit_status=1)

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
