"""The composition root: opens every part in order, runs until told to stop, closes them in reverse.

The one place that knows all parts. Stopping is quick because nothing is lost by it: unfinished updates, generations
and runs are in the database and are taken up at the next start.
"""

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from telegram.ext import ExtBot

from bot import data_folder, machine
from bot.alarm import Alarm
from bot.backups import Backups
from bot.cards import Cards
from bot.cleaning import Cleaning
from bot.composer import Composer
from bot.confirmations import Confirmations
from bot.connections import introduce, open_engine, open_health, receive
from bot.consent import Consent
from bot.counts import Counts
from bot.delivery import Delivery
from bot.doorman import Doorman
from bot.dossier import MyData
from bot.errors import StartError
from bot.favourites import Favourites
from bot.feedback import Feedback
from bot.forgetting import Forgetting
from bot.handlers import (
    about,
    admin,
    check,
    commands,
    confirm,
    door,
    generate,
    joined,
    moved,
    operator,
    own_data,
    preferences,
    privacy,
    rate,
    report,
    rework,
    stats,
    stop,
    top,
)
from bot.handlers.admin import AdminCommands
from bot.handlers.errors import ErrorHandler
from bot.handlers.guard import Guard
from bot.handlers.operator import OperatorCommands
from bot.health import Health
from bot.intake import InboxProcessor, Intake
from bot.keys import Keys, open_keys
from bot.learning import keep_time, open_learning, open_taste
from bot.menu import publish_menu
from bot.messenger import Urgency
from bot.models import Models
from bot.pacing import Pacer
from bot.preferences import Preferences
from bot.reports import Reports
from bot.retention import Retention
from bot.safety import Safety
from bot.settings import Settings
from bot.statistics import StatisticsDesk
from bot.studio import Limits, Studio
from bot.switchboard import Switchboard
from bot.taste import TasteKeeper
from bot.telegram_app import TelegramApplication, build_application, build_bot, install
from bot.trust import open_trust
from bot.vitals import Vitals
from storage.database import Database

logger = logging.getLogger(__name__)

_ENGINE_TIMEOUT = httpx.Timeout(10.0, read=300.0, pool=None)


async def run(settings: Settings) -> None:
    """Run the bot until SIGINT or SIGTERM.

    Raises:
        StartError, StorageError: it cannot start; the sentence says what to do.
    """
    running = asyncio.create_task(_run(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What everything else stands on."""

    settings: Settings
    stack: AsyncExitStack
    db: Database
    keys: Keys
    vitals: Vitals
    bot: ExtBot[Urgency]
    delivery: Delivery
    alarm: Alarm
    backups: Backups


def _key(settings: Settings) -> dict[str, str]:
    """What opens the engine's door, if it has a lock."""
    key = settings.engine_key
    return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        ground = await _lay_ground(settings, stack)
        queue: asyncio.Queue[object] = asyncio.Queue()
        processor = InboxProcessor(ground.db, queue, ground.alarm)
        application = build_application(ground.bot, processor, queue)
        await introduce(application)
        stack.push_async_callback(application.shutdown)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                timeout=_ENGINE_TIMEOUT,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
                headers=_key(settings),
            )
        )
        switchboard = await open_engine(settings, stack, ground.db, http, ground.vitals, ground.keys)
        house = f"house-{ground.keys.pseudonyms.person(ground.bot.id)[:16]}"
        taste = open_taste(settings, stack, ground.db, switchboard, ground.vitals, name=house)
        health = _health(ground, switchboard, taste)
        studio = await _furnish(ground, application, processor, switchboard, taste, health)
        await publish_menu(ground.bot, settings.kinds, settings.admin_ids)
        await studio.resume()
        intake = Intake(db=ground.db, bot=ground.bot, queue=queue, vitals=ground.vitals, alarm=ground.alarm)
        receiving = await receive(settings, stack, application, processor, intake, ground.vitals)
        address = await open_health(settings, stack, health)
        logger.info("ready: @%s answers with %s; health at %s", ground.bot.username, switchboard.champion, address)
        await receiving


async def _lay_ground(settings: Settings, stack: AsyncExitStack) -> _Ground:
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
    return _Ground(
        settings=settings, stack=stack, db=db, keys=keys, vitals=vitals, bot=bot, delivery=delivery,
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


async def _furnish(
    ground: _Ground,
    application: TelegramApplication,
    processor: InboxProcessor,
    switchboard: Switchboard,
    taste: TasteKeeper,
    health: Health,
) -> Studio:
    """Make the services, install their handlers, and start the clock."""
    db, stack, pseudonyms, delivery = ground.db, ground.stack, ground.keys.pseudonyms, ground.delivery
    trust = open_trust(ground.settings, db, ground.keys, switchboard, taste)
    consent = Consent(db=db, pseudonyms=pseudonyms, messenger=delivery, on_yes=trust.note, on_no=trust.renew)
    composer = Composer(
        db=db, messenger=delivery, switchboard=switchboard, taste=taste, rules=trust.rules(), vitals=ground.vitals
    )
    studio = _studio(ground, composer, trust.safety, consent)
    stack.push_async_callback(studio.close)
    counts = Counts(db=db, messenger=delivery)
    stack.push_async_callback(counts.close)
    feedback = Feedback(
        db=db, pseudonyms=pseudonyms, counts=counts, on_rating=trust.note, values=ground.settings.reaction_values
    )
    learning = open_learning(ground.settings, stack, db, switchboard, delivery)
    doorman = Doorman(db=db, pseudonyms=pseudonyms, on_change=trust.renew, admin_ids=ground.settings.admin_ids)
    await doorman.open()
    confirmations = Confirmations()
    guard = Guard(db=db, pseudonyms=pseudonyms, admin_ids=ground.settings.admin_ids)
    school = AdminCommands(
        nightly=learning.nightly, models=Models(db=db, switchboard=switchboard, trials=learning.trials),
        bulletin=learning.bulletin, delivery=delivery, confirmations=confirmations,
    )  # fmt: skip
    house = OperatorCommands(
        db=db, delivery=delivery, confirmations=confirmations, doorman=doorman, health=health, backups=ground.backups
    )
    cleaning = Cleaning(db=db, backups=ground.backups, alarm=ground.alarm, keep=ground.settings.backups_keep)
    forgetting = Forgetting(
        db=db, keys=ground.keys, studio=studio, nightly=learning.nightly, messenger=delivery,
        file=ground.settings.tombstones_path, cleaning=cleaning,
    )  # fmt: skip
    forgetting.when_erased(trust.renew)
    stack.push_async_callback(forgetting.close)
    await forgetting.finish()
    my_data = MyData(
        db=db, pseudonyms=pseudonyms, label=ground.settings.label, producer=ground.settings.content_producer
    )
    reports = Reports(
        db=db, pseudonyms=pseudonyms, messenger=delivery, composer=composer, admin_ids=ground.settings.admin_ids,
        on_change=trust.renew,
    )  # fmt: skip
    kinds = ground.settings.kinds
    errors = ErrorHandler(processor=processor, delivery=delivery, alarm=ground.alarm, vitals=ground.vitals)
    parts = [
        generate.handlers(studio, kinds),
        rate.handlers(feedback),
        rework.handlers(studio, counts),
        stop.handlers(studio, delivery),
        privacy.handlers(
            consent, delivery, contact=ground.settings.privacy_contact, days=ground.settings.retention_days
        ),
        own_data.handlers(my_data, forgetting, confirmations, delivery),
        report.handlers(reports, delivery, guard),
        check.handlers(trust.checking, delivery),
        about.handlers(_cards(ground, switchboard), delivery),
        top.handlers(Favourites(db=db, pseudonyms=pseudonyms, label=ground.settings.label), delivery),
        preferences.handlers(Preferences(db=db, pseudonyms=pseudonyms, taste=taste), delivery),
        stats.handlers(
            StatisticsDesk(db=db, pseudonyms=pseudonyms, admin_ids=frozenset(ground.settings.admin_ids)), delivery
        ),
        confirm.handlers(confirmations, delivery, db, pseudonyms),
        joined.handlers(delivery),
        moved.handlers(db, pseudonyms),
        admin.handlers(school, guard),
        operator.handlers(house, guard),
        commands.handlers(kinds, delivery, consent),
    ]
    install(application, door.handlers(doorman, errors), parts, on_error=errors)
    retention = Retention(
        db=db, switchboard=switchboard, data_dir=ground.settings.data_dir, days=ground.settings.retention_days,
        tainted_days=ground.settings.tainted_days,
    )  # fmt: skip
    await keep_time(ground.settings, stack, db, learning, cleaning, retention)
    return studio


def _cards(ground: _Ground, switchboard: Switchboard) -> Cards:
    settings = ground.settings
    return Cards(
        db=ground.db, switchboard=switchboard, versions_dir=settings.data_dir / "versions", model=settings.model,
        contact=settings.privacy_contact,
    )  # fmt: skip


def _studio(ground: _Ground, composer: Composer, safety: Safety, consent: Consent) -> Studio:
    limits = Limits(ground.settings.prompts_per_hour, ground.settings.queue_limit)
    return Studio(
        db=ground.db, composer=composer, kinds=ground.settings.kinds, pseudonyms=ground.keys.pseudonyms, limits=limits,
        on_delivered=consent.ask_once, safety=safety,
    )  # fmt: skip


def _health(ground: _Ground, switchboard: Switchboard, taste: TasteKeeper) -> Health:
    return Health(
        db=ground.db, vitals=ground.vitals, switchboard=switchboard, taste=taste, backups=ground.backups,
        queue_limit=ground.settings.queue_limit, is_polling=ground.settings.webhook_url is None,
    )  # fmt: skip
