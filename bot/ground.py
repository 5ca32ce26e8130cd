"""What everything else in the bot stands on: the database, and the way to Telegram.

Knows what needs no network. Knows no service and no handler.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from telegram.ext import ExtBot

from bot.common.keys import Keys
from bot.common.settings import Settings
from bot.common.timing import Timing
from bot.common.vitals import Vitals
from bot.messaging.alarm import Alarm
from bot.messaging.messenger import Urgency
from bot.operations.backups import Backups
from bot.telegram.delivery import Delivery
from bot.telegram.pacing import Pacer
from bot.telegram.telegram_app import build_bot
from storage.db.database import Database


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


def lay_ground(settings: Settings, stack: AsyncExitStack, keys: Keys, db: Database, timing: Timing) -> Ground:
    """Make what needs no network."""
    token = settings.telegram_bot_token.get_secret_value()
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
