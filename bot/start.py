"""The bot's start: the folder and the token held, the database open, and then the engine, for it takes the longest to
load; all else is imported and made meanwhile.

Runs until told to stop. Stopping is quick because nothing is lost by it: unfinished updates, generations and runs are
in the database and are taken up at the next start.
"""

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack

from bot.common import lock
from bot.common.errors import StartError
from bot.common.keys import open_keys
from bot.common.settings import Settings
from bot.common.timing import USUAL, Timing
from bot.operations import machine
from bot.serving.engine_process import begin_engine
from storage.db.database import Database

logger = logging.getLogger(__name__)


async def run(settings: Settings, timing: Timing = USUAL) -> None:
    """Run the bot until SIGINT or SIGTERM.

    Raises:
        StartError, StorageError: it cannot start; the sentence says what to do.
    """
    running = asyncio.create_task(_run(settings, timing))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _run(settings: Settings, timing: Timing) -> None:
    async with AsyncExitStack() as stack:
        _look_at_machine(settings)
        stack.enter_context(lock.hold_data_dir(settings.data_dir))
        token = settings.telegram_bot_token.get_secret_value()
        stack.enter_context(lock.hold_token(token, str(settings.telegram_api_url)))
        keys = open_keys(settings, may_create=True)
        db = await Database.open(settings.database_path, keys.keyring)
        stack.push_async_callback(db.close)
        engine = await begin_engine(settings, stack, keys)
        from bot.app import live  # noqa: PLC0415 - half a second, in which the engine loads

        await live(settings, stack, keys, db, engine, timing)


def _look_at_machine(settings: Settings) -> None:
    """Refuse a disk on which SQLite's promises do not hold, and warn of a library with a known bug.

    Raises:
        StartError: the data folder is on a network file system.
    """
    disk, library = machine.file_system(settings.data_dir), machine.sqlite()
    if disk.state == "failed":
        raise StartError(disk.says)
    if library.state != "ok":
        logger.warning("SQLite %s", library.says)
