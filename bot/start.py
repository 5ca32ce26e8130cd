"""The bot's start: locks, keys, the database, and then the engine, which takes the longest to load; everything else is
imported and made meanwhile.

Stopping is quick because nothing is lost by it: unfinished updates, generations and runs are in the database and are
resumed at the next start.
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
    disk, library = machine.file_system(settings.data_dir), machine.sqlite()
    if disk.state == "failed":  # a network file system, on which SQLite's promises do not hold
        raise StartError(disk.says)
    if library.state != "ok":
        logger.warning("SQLite %s", library.says)
    async with AsyncExitStack() as stack:
        stack.enter_context(lock.hold_data_dir(settings.data_dir))
        token = settings.telegram_bot_token.get_secret_value()
        stack.enter_context(lock.hold_token(token, str(settings.telegram_api_url)))
        keys = open_keys(settings, may_create=True)
        db = await Database.open(settings.database_path, keys.keyring)
        stack.push_async_callback(db.close)
        engine = await begin_engine(settings, stack, keys)
        from bot.app import live  # noqa: PLC0415 - half a second, in which the engine loads

        await live(settings, stack, keys, db, engine, timing)
