"""What everything else in the bot stands on: the folder and the token held, the database open, the way to Telegram.

Knows what needs no network. Knows no service and no handler.
"""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from telegram.ext import ExtBot

from bot import data_folder, machine
from bot.alarm import Alarm
from bot.backups import Backups
from bot.delivery import Delivery
from bot.errors import StartError
from bot.keys import Keys, open_keys
from bot.messenger import Urgency
from bot.pacing import Pacer
from bot.settings import Settings
from bot.telegram_app import build_bot
from bot.timing import Timing
from bot.vitals import Vitals
from storage.database import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything else stands on."""

    settings: Settings
    timing: Timing
    stack: AsyncExitStack
    db: Database
    keys: Keys
    vitals: Vitals
    bot: ExtBot[Urgency]
    delivery: Delivery
    alarm: Alarm
    backups: Backups


async def lay_ground(settings: Settings, stack: AsyncExitStack, timing: Timing) -> Ground:
    """Hold the folder and the token, open the database, and make what needs no network."""
    token = settings.telegram_bot_token.get_secret_value()
    _look_at_machine(settings)
    stack.enter_context(data_folder.held(settings.data_dir))
    stack.enter_context(data_folder.token_held(token, str(settings.telegram_api_url)))
    keys = open_keys(settings, may_make=True)
    db = await Database.open(settings.database_path, keys.keyring)
    stack.push_async_callback(db.close)
    vitals = Vitals()
    pacer = Pacer(limits=settings.pacing == "on", on_flood=vitals.floods.inc)
    bot = build_bot(token=token, api_url=str(settings.telegram_api_url), pacer=pacer)
    delivery = Delivery(bot)
    alarm = Alarm(db=db, messenger=delivery, vitals=vitals, admin_ids=settings.admin_ids)
    stack.push_async_callback(alarm.close)
    backups = Backups(
        database=settings.database_path, folder=settings.backups_path, keep=settings.backups_keep,
        tombstones=settings.tombstones_path, names=keys.named_in, keyring=keys.keyring,
    )  # fmt: skip
    return Ground(
        settings=settings, timing=timing, stack=stack, db=db, keys=keys, vitals=vitals, bot=bot, delivery=delivery,
        alarm=alarm, backups=backups,
    )  # fmt: skip


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
