"""The composition root: opens every part in order, runs until told to stop, closes them in reverse.

`ground` and `furnishing` make the parts. Stopping is quick because nothing is lost by it: unfinished updates,
generations and runs are in the database and are taken up at the next start.
"""

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack

from bot.connections import introduce, open_engine, open_health, receive
from bot.engines import engine_http
from bot.furnishing import furnish
from bot.ground import Ground, lay_ground
from bot.health import Health
from bot.intake import InboxProcessor, Intake
from bot.learning import open_taste
from bot.menu import publish_menu
from bot.settings import Settings
from bot.switchboard import Switchboard
from bot.taste import TasteKeeper
from bot.telegram_app import build_application
from bot.timing import USUAL, Timing

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
        ground = await lay_ground(settings, stack, timing)
        queue: asyncio.Queue[object] = asyncio.Queue()
        processor = InboxProcessor(ground.db, queue, ground.alarm)
        application = build_application(ground.bot, processor, queue)
        await introduce(application, timing)
        stack.push_async_callback(application.shutdown)
        http = await stack.enter_async_context(engine_http(settings))
        switchboard = await open_engine(settings, stack, ground.db, http, ground.vitals, ground.keys, timing)
        house = f"house-{ground.keys.pseudonyms.person(ground.bot.id)[:16]}"
        taste = open_taste(settings, stack, ground.db, switchboard, ground.vitals, name=house, timing=timing)
        health = _health(ground, switchboard, taste)
        studio = await furnish(ground, application, processor, switchboard, taste, health)
        await publish_menu(ground.bot, settings.kinds, settings.admin_ids)
        await studio.resume()
        intake = Intake(db=ground.db, bot=ground.bot, queue=queue, vitals=ground.vitals, alarm=ground.alarm)
        receiving = await receive(settings, stack, application, processor, intake, ground.vitals, timing)
        address = await open_health(settings, stack, health)
        logger.info("ready: @%s answers with %s; health at %s", ground.bot.username, switchboard.champion, address)
        await receiving


def _health(ground: Ground, switchboard: Switchboard, taste: TasteKeeper) -> Health:
    return Health(
        db=ground.db, vitals=ground.vitals, switchboard=switchboard, taste=taste, backups=ground.backups,
        queue_limit=ground.settings.queue_limit, is_polling=ground.settings.webhook_url is None,
    )  # fmt: skip
