"""The composition root: opens every part in order behind what `start` has begun; they are closed in reverse.

`ground` and `furnishing` make the parts.
"""

import asyncio
import logging
from contextlib import AsyncExitStack

from bot.common.keys import Keys
from bot.common.settings import Settings
from bot.common.timing import Timing
from bot.connections import introduce, open_engine, open_health, receive
from bot.furnishing import furnish
from bot.ground import Ground, lay_ground
from bot.learning.taste import TasteKeeper
from bot.learning_parts import open_taste
from bot.operations.health import Health
from bot.serving.engines import EngineLink
from bot.serving.switchboard import Switchboard
from bot.telegram.intake import InboxProcessor, Intake
from bot.telegram.menu import publish_menu
from bot.telegram.telegram_app import build_application
from storage.db.database import Database

logger = logging.getLogger(__name__)


async def live(
    settings: Settings, stack: AsyncExitStack, keys: Keys, db: Database, link: EngineLink, timing: Timing
) -> None:
    """Open everything and run until cancelled, or until nothing can be received any more.

    Raises:
        StartError, StorageError: it cannot start; the sentence says what to do.
    """
    ground = lay_ground(settings, stack, keys, db, timing)
    queue: asyncio.Queue[object] = asyncio.Queue()
    processor = InboxProcessor(ground.db, queue, ground.alarm)
    application = build_application(ground.bot, processor, queue)
    await introduce(application, timing)
    stack.push_async_callback(application.shutdown)
    switchboard = await open_engine(settings, db, link, ground.vitals, timing)
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
