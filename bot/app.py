"""What everything else in the bot stands on: the database, and the way to Telegram.

Knows what needs no network. Knows no service and no handler.

What keeps trust, opened together: what may be asked and shown, what is found again, and what is not to be copied.

Knows the parts. Knows no Telegram type.

What learns: the preference model, the nightly run, the canary that comes of it, and their clock.

Each is opened with its undoing put on the stack. Knows the parts and what they tell one another. Knows no Telegram
type.

The bot's lines to the outside: to Telegram, to its engine, and to those on this machine who ask for its health.

Each is opened with its undoing put on the stack. Knows sockets, processes and retries; what is said over the lines is
for others.

Makes the services, installs their handlers in the order in which they are asked, and starts the clock.

Knows every service and every handler by name. Knows nothing of what they do.

The composition root: opens every part in order behind what `start` has begun; they are closed in reverse.

`ground` and `furnishing` make the parts.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from telegram.error import InvalidToken, NetworkError
from telegram.ext import ExtBot

from bot.common.errors import StartError
from bot.common.http_server import listen, serving
from bot.common.keys import Keys
from bot.common.kinds import Kinds
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.common.tasks import cancel
from bot.common.timing import Timing
from bot.feedback.buttons import RatingButtons
from bot.feedback.ratings import Feedback
from bot.feedback.reaction_test import ReactionTest
from bot.generation.inline import InlineQueries
from bot.generation.limits import Admission, Limits
from bot.generation.pipeline import GenerationPipeline
from bot.generation.preferences import Preferences
from bot.generation.service import GenerationService
from bot.learning.canary import CanaryMonitor
from bot.learning.nightly import Nightly
from bot.learning.preference_sync import PreferenceSync
from bot.learning.schedule import Schedule
from bot.messaging.alerts import AdminAlerts
from bot.messaging.confirmations import Confirmations
from bot.messaging.messenger import Messenger, Urgency
from bot.messaging.render import Renderer
from bot.moderation.bans import Bans
from bot.moderation.copy_check import CopyCheck
from bot.moderation.provenance import ProvenanceCheck
from bot.moderation.reports import Reports
from bot.moderation.text_checks import Inspection, Rules, SafetyCheck
from bot.operations.backups import Backups, Cleanup
from bot.operations.health import Health, health_app
from bot.operations.version_admin import VersionAdmin
from bot.privacy.consent import Consent
from bot.privacy.data_export import MyData
from bot.privacy.erasure import Erasure
from bot.privacy.retention import Retention
from bot.reporting.model_cards import Cards
from bot.reporting.run_messages import RunMessages
from bot.reporting.statistics import Favourites, StatisticsCharts
from bot.serving.engine_process import EngineProcess
from bot.serving.version_router import VersionRouter
from bot.telegram.application import TelegramApplication, build_application, build_bot, install, publish_menu
from bot.telegram.handlers import access, membership
from bot.telegram.handlers.access import ErrorHandler
from bot.telegram.handlers.admin import AdminHandlers, AdminOnly
from bot.telegram.handlers.info import InfoHandlers
from bot.telegram.handlers.inline import InlineHandlers
from bot.telegram.handlers.privacy import PrivacyHandlers
from bot.telegram.handlers.prompts import PromptHandlers
from bot.telegram.handlers.ratings import RatingHandlers
from bot.telegram.inbox import ALLOWED_UPDATES, Inbox, InboxProcessor
from bot.telegram.polling import Poller
from bot.telegram.rate_limiter import RateLimiter
from bot.telegram.sender import Sender
from bot.telegram.webhook import Webhook
from engine.api.client import EngineClient
from engine.errors import EngineUnavailable
from engine.safety.filter import load_filter
from engine.safety.near_copy import read_protected
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything else stands on."""

    settings: Settings
    timing: Timing
    stack: AsyncExitStack
    db: Database
    keys: Keys
    metrics: BotMetrics
    bot: ExtBot[Urgency]
    sender: Sender
    alerts: AdminAlerts
    backups: Backups


def lay_ground(settings: Settings, stack: AsyncExitStack, keys: Keys, db: Database, timing: Timing) -> Ground:
    """Make what needs no network."""
    token = settings.telegram_bot_token.get_secret_value()
    metrics = BotMetrics()
    rate_limiter = RateLimiter(limits=settings.pacing == "on", on_flood=metrics.floods.inc)
    bot = build_bot(token=token, api_url=str(settings.telegram_api_url), rate_limiter=rate_limiter)
    sender = Sender(bot)
    alerts = AdminAlerts(db=db, messenger=sender, metrics=metrics, admin_ids=settings.admin_ids)
    stack.push_async_callback(alerts.close)
    return Ground(
        settings=settings, timing=timing, stack=stack, db=db, keys=keys, metrics=metrics, bot=bot, sender=sender,
        alerts=alerts, backups=Backups(settings, keys),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The parts, and whom to tell when what is agreed to changes."""

    safety: SafetyCheck
    provenance: ProvenanceCheck
    overlap: CopyCheck
    preference_sync: PreferenceSync
    label: str
    kinds: Kinds

    def rules(self) -> Rules:
        """What every text is written by."""
        inspection = Inspection([self.safety, self.overlap])
        return Rules(self.kinds, self.label, inspection, self.provenance.fingerprint_of)

    def note(self) -> None:
        """There may be more to learn from, and more that is not to be copied."""
        self.preference_sync.refit_soon()
        self.overlap.note()

    def renew(self) -> None:
        """Somebody has withdrawn, or is forgotten or shut out: what holds their words lets go of them at once."""
        self.preference_sync.reset()
        self.overlap.renew()


def open_trust(
    settings: Settings, db: Database, keys: Keys, router: VersionRouter, preference_sync: PreferenceSync
) -> Trust:
    """Make the parts as the operator wants them."""
    guard = None if settings.guard_model is None else router.engine
    marks = router.engine if settings.watermark == "on" else None
    fails_open = settings.guard_fails == "open"
    return Trust(
        safety=SafetyCheck(words=load_filter(settings.words_file), guard=guard, fails_open=fails_open),
        provenance=ProvenanceCheck(db=db, keys=keys, label=settings.label, engine=marks),
        overlap=CopyCheck(db=db, protected=read_protected(settings.protected_dir)),
        preference_sync=preference_sync,
        label=settings.label,
        kinds=settings.kinds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The nightly run, the monitor of the canary that comes of it, and what tells people of both."""

    nightly: Nightly
    messages: RunMessages
    canary: CanaryMonitor


def open_learning(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    router: VersionRouter,
    messenger: Messenger,
    statistics: StatisticsCharts,
    timing: Timing,
) -> Learning:
    """Make them and connect them; nothing runs yet."""
    canary = CanaryMonitor(db=db, router=router, settings=settings, timing=timing)
    nightly = Nightly(db=db, router=router, settings=settings, conclude_canary=canary.conclude)
    messages = RunMessages(
        db=db, nightly=nightly, messenger=messenger, statistics=statistics, data_dir=settings.data_dir,
        admin_ids=settings.admin_ids, timing=timing,
    )  # fmt: skip
    nightly.on_end, canary.on_end = messages.run_ended, messages.trial_ended
    for part in (nightly, messages, canary):
        stack.push_async_callback(part.close)
    return Learning(nightly=nightly, messages=messages, canary=canary)


def open_preference_sync(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    router: VersionRouter,
    metrics: BotMetrics,
    *,
    name: str,
    timing: Timing,
) -> PreferenceSync:
    """Start it under a name that is this bot's alone, for engines that several bots share."""
    sync = PreferenceSync(
        db=db, engine=router.engine, metrics=metrics, name=name, best_of=settings.best_of,
        tenure_days=settings.tenure_days, timing=timing,
    )  # fmt: skip
    stack.push_async_callback(sync.close)
    router.on_load = sync.engine_started
    sync.start()
    return sync


async def keep_time(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    learning: Learning,
    cleanup: Cleanup,
    retention: Retention,
) -> None:
    """Finish the run that was cut off, make up for a missed night, and wait for the next."""
    await learning.nightly.resume()
    await learning.messages.resume()

    async def run_slot(slot: str) -> None:
        await inbox.prune(db, now=datetime.now(UTC))
        await cleanup.nightly()
        await learning.nightly.begin(slot=slot)

    schedule = Schedule(db=db, line=settings.retrain_at, timezone=settings.timezone, run_slot=run_slot)
    await schedule.start(hourly=retention.sweep)
    stack.callback(schedule.stop)
    learning.canary.start()


logger = logging.getLogger(__name__)


async def introduce(application: TelegramApplication, timing: Timing) -> None:
    """Learn who we are, waiting for the network as long as it takes.

    Raises:
        StartError: Telegram does not know the token.
    """
    while True:
        try:
            return await application.initialize()
        except InvalidToken as error:
            raise StartError("Telegram does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather.") from error
        except NetworkError:
            logger.warning("Telegram cannot be reached; trying again in %.0f seconds", timing.retry)
            await asyncio.sleep(timing.retry)


async def open_engine(
    settings: Settings,
    db: Database,
    engine: EngineProcess | EngineClient,
    metrics: BotMetrics,
    timing: Timing,
) -> VersionRouter:
    """Wait for the engine; the router is ready then."""
    router = VersionRouter(
        db=db, engine=engine.client if isinstance(engine, EngineProcess) else engine, model=settings.model,
        folder=settings.data_dir / "versions", canary_share=settings.canary_share,
    )  # fmt: skip
    if isinstance(engine, EngineProcess):
        await engine.start(router.load_versions)
        metrics.engine_restarts.set_function(lambda: engine.restarts)
        return router
    while True:
        try:
            await router.load_versions()
            return router
        except EngineUnavailable as error:
            logger.warning("%s Trying ENGINE_URL again in %.0f seconds.", error, timing.retry)
            await asyncio.sleep(timing.retry)


async def receive(
    settings: Settings,
    stack: AsyncExitStack,
    application: TelegramApplication,
    processor: InboxProcessor,
    inbox: Inbox,
    metrics: BotMetrics,
    timing: Timing,
) -> asyncio.Task[None]:
    """Take up what was accepted before, then let Telegram send more; the task ends only if that cannot go on."""
    await inbox.take_up()
    await application.start()
    stack.push_async_callback(_stop, application, processor)
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        await _open_webhook(settings, stack, application, Webhook(
            inbox=inbox, processor=processor, secret=settings.webhook_secret.get_secret_value(), metrics=metrics
        ))  # fmt: skip
        work = asyncio.create_task(_for_ever(), name="webhook")
    else:
        http = await stack.enter_async_context(httpx.AsyncClient())
        url = f"{application.bot.base_url}/getUpdates"
        poller = Poller(url=url, http=http, inbox=inbox, processor=processor, metrics=metrics, timing=timing)
        work = asyncio.create_task(_poll(application, poller, timing), name="polling")
    stack.push_async_callback(cancel, work)
    return work


async def open_health(settings: Settings, stack: AsyncExitStack, health: Health) -> str:
    """Answer /live, /ready and /metrics on loopback; returns the address.

    Raises:
        StartError: HEALTH_LISTEN is taken.
    """
    listener = _listener("HEALTH_LISTEN", settings.health_listen)
    await stack.enter_async_context(serving(health_app(health), listener))
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


async def _poll(application: TelegramApplication, poller: Poller, timing: Timing) -> None:
    while True:
        try:
            await application.bot.delete_webhook()  # Telegram refuses polls while one is set
            break
        except NetworkError:
            logger.warning("Telegram cannot be reached; trying again in %.0f seconds", timing.retry)
            await asyncio.sleep(timing.retry)
    await poller.run()


async def _open_webhook(
    settings: Settings, stack: AsyncExitStack, application: TelegramApplication, webhook: Webhook
) -> None:
    assert settings.webhook_url is not None and settings.webhook_secret is not None, "asked for by the caller"
    listener = _listener("WEBHOOK_LISTEN", settings.webhook_listen)
    await stack.enter_async_context(serving(webhook.app(settings.webhook_url.path or "/"), listener))
    secret = settings.webhook_secret.get_secret_value()
    await application.bot.set_webhook(str(settings.webhook_url), secret_token=secret, allowed_updates=ALLOWED_UPDATES)


def _listener(name: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return listen(host.strip("[]"), int(port))
    except OSError as error:
        raise StartError(f"{name}: {address} cannot be used: {error.strerror}.") from error


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _stop(application: TelegramApplication, processor: InboxProcessor) -> None:
    """Stop handling; what is cut off is in the inbox."""
    processor.abandon()
    await application.stop()


async def furnish(
    ground: Ground,
    application: TelegramApplication,
    processor: InboxProcessor,
    router: VersionRouter,
    preference_sync: PreferenceSync,
    health: Health,
) -> GenerationService:
    """Make the services, install their handlers, and start the clock."""
    db, stack, pseudonyms, sender = ground.db, ground.stack, ground.keys.pseudonyms, ground.sender
    trust = open_trust(ground.settings, db, ground.keys, router, preference_sync)
    consent = Consent(db=db, pseudonyms=pseudonyms, messenger=sender, on_yes=trust.note, on_no=trust.renew)
    rules = trust.rules()
    pipeline = GenerationPipeline(
        db=db, messenger=sender, router=router, preference_sync=preference_sync, rules=rules, metrics=ground.metrics
    )
    rating_buttons = RatingButtons(db=db, messenger=sender, timing=ground.timing)
    stack.push_async_callback(rating_buttons.close)
    reports = Reports(
        db=db, pseudonyms=pseudonyms, messenger=sender, show_again=pipeline.show_again,
        admin_ids=ground.settings.admin_ids, on_change=trust.renew,
    )  # fmt: skip

    async def on_delivered(generation: Generation) -> None:
        """See to what was said of a text between its being seen and its being recorded as delivered."""
        rating_buttons.refresh_soon(generation)
        await reports.hide_again(generation)
        await consent.ask_once(generation)

    service = _service(ground, pipeline, trust.safety, on_delivered)
    stack.push_async_callback(service.close)
    feedback = Feedback(
        db=db,
        pseudonyms=pseudonyms,
        rating_buttons=rating_buttons,
        on_rating=trust.note,
        values=ground.settings.reaction_values,
    )
    statistics = StatisticsCharts(db=db, pseudonyms=pseudonyms, admin_ids=frozenset(ground.settings.admin_ids))
    learning = open_learning(ground.settings, stack, db, router, sender, statistics, ground.timing)
    bans = Bans(db=db, pseudonyms=pseudonyms, on_change=trust.renew, admin_ids=ground.settings.admin_ids)
    await bans.open()
    confirmations = Confirmations()
    admin_only = AdminOnly(db=db, pseudonyms=pseudonyms, admin_ids=ground.settings.admin_ids)
    cleanup = Cleanup(db=db, backups=ground.backups, alerts=ground.alerts, keep=ground.settings.backups_keep)
    erasure = Erasure(
        db=db, keys=ground.keys, service=service, nightly=learning.nightly, messenger=sender,
        tombstones_file=ground.settings.tombstones_path, cleanup=cleanup, on_erased=trust.renew,
    )  # fmt: skip
    stack.push_async_callback(erasure.close)
    await erasure.finish()
    my_data = MyData(
        db=db, pseudonyms=pseudonyms, label=ground.settings.label, producer=ground.settings.content_producer
    )
    reaction_test = ReactionTest(
        messenger=sender,
        reaction_access=sender.reaction_access,
        values=ground.settings.reaction_values,
        timing=ground.timing,
    )
    stack.push_async_callback(reaction_test.close)
    kinds = ground.settings.kinds
    wishes = Preferences(db=db, pseudonyms=pseudonyms, preference_sync=preference_sync)
    elsewhere = InlineQueries(
        db=db,
        service=service,
        renderer=Renderer(kinds, rules.label),
        kinds=kinds,
        messenger=sender,
        timing=ground.timing,
    )
    stack.push_async_callback(elsewhere.close)
    errors = ErrorHandler(processor=processor, sender=sender, alerts=ground.alerts, metrics=ground.metrics)
    parts = [
        PromptHandlers(
            service=service, feedback=feedback, rating_buttons=rating_buttons, kinds=kinds, sender=sender
        ).handlers(),
        RatingHandlers(feedback=feedback, reaction_test=reaction_test).handlers(),
        InlineHandlers(inline=elsewhere, feedback=feedback).handlers(),
        PrivacyHandlers(
            consent=consent, my_data=my_data, erasure=erasure, confirmations=confirmations, reports=reports,
            admin_only=admin_only, sender=sender, contact=ground.settings.privacy_contact,
            retention_days=ground.settings.retention_days,
        ).handlers(),
        AdminHandlers(
            admin_only=admin_only, nightly=learning.nightly, messages=learning.messages, bans=bans,
            versions=VersionAdmin(db=db, router=router, canary=learning.canary), health=health,
            backups=ground.backups, confirmations=confirmations, sender=sender,
        ).handlers(),
        membership.handlers(sender, db, pseudonyms),
        InfoHandlers(
            kinds=kinds, consent=consent, preferences=wishes, statistics=statistics,
            favourites=Favourites(db=db, pseudonyms=pseudonyms, label=ground.settings.label),
            cards=_cards(ground, router), provenance=trust.provenance, reaction_test=reaction_test, sender=sender,
        ).handlers(),
    ]  # fmt: skip
    install(application, access.handlers(bans, wishes, errors), parts, on_error=errors)
    retention = Retention(
        db=db, router=router, data_dir=ground.settings.data_dir, days=ground.settings.retention_days,
        tainted_days=ground.settings.tainted_days,
    )  # fmt: skip
    await keep_time(ground.settings, stack, db, learning, cleanup, retention)
    return service


def _cards(ground: Ground, router: VersionRouter) -> Cards:
    settings = ground.settings
    return Cards(
        db=ground.db, router=router, versions_dir=settings.data_dir / "versions", model=settings.model,
        contact=settings.privacy_contact,
    )  # fmt: skip


def _service(
    ground: Ground,
    pipeline: GenerationPipeline,
    safety: SafetyCheck,
    on_delivered: Callable[[Generation], Awaitable[None]],
) -> GenerationService:
    limits = Limits(ground.settings.prompts_per_hour, ground.settings.queue_limit)
    admission = Admission(db=ground.db, limits=limits, safety=safety)
    return GenerationService(
        db=ground.db, pipeline=pipeline, kinds=ground.settings.kinds, pseudonyms=ground.keys.pseudonyms,
        admission=admission, on_delivered=on_delivered,
    )  # fmt: skip


async def live(
    settings: Settings,
    stack: AsyncExitStack,
    keys: Keys,
    db: Database,
    engine: EngineProcess | EngineClient,
    timing: Timing,
) -> None:
    """Open everything and run until cancelled, or until nothing can be received any more.

    Raises:
        StartError, StorageError: it cannot start; the sentence says what to do.
    """
    ground = lay_ground(settings, stack, keys, db, timing)
    queue: asyncio.Queue[object] = asyncio.Queue()
    processor = InboxProcessor(ground.db, queue, ground.alerts)
    application = build_application(ground.bot, processor, queue)
    await introduce(application, timing)
    stack.push_async_callback(application.shutdown)
    router = await open_engine(settings, db, engine, ground.metrics, timing)
    name = f"house-{ground.keys.pseudonyms.person(ground.bot.id)[:16]}"
    preference_sync = open_preference_sync(settings, stack, ground.db, router, ground.metrics, name=name, timing=timing)
    health = _health(ground, router, preference_sync)
    service = await furnish(ground, application, processor, router, preference_sync, health)
    await publish_menu(ground.bot, settings.kinds, settings.admin_ids)
    await service.resume()
    inbox = Inbox(db=ground.db, bot=ground.bot, queue=queue, metrics=ground.metrics, alerts=ground.alerts)
    receiving = await receive(settings, stack, application, processor, inbox, ground.metrics, timing)
    address = await open_health(settings, stack, health)
    logger.info("ready: @%s answers with %s; health at %s", ground.bot.username, router.champion, address)
    await receiving


def _health(ground: Ground, router: VersionRouter, preference_sync: PreferenceSync) -> Health:
    return Health(
        db=ground.db, metrics=ground.metrics, router=router, preference_sync=preference_sync, backups=ground.backups,
        queue_limit=ground.settings.queue_limit, is_polling=ground.settings.webhook_url is None,
    )  # fmt: skip
