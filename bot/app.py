"""The composition root: opens every part of the bot, room by room, behind what `bot.start` has begun.

What is opened is closed in reverse.
"""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

import httpx

from bot.common.errors import StartError
from bot.common.http_server import listen, serving
from bot.common.keys import Keys
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings, proxies
from bot.common.tasks import cancel
from bot.common.timing import Timing
from bot.feedback.buttons import RatingButtons
from bot.feedback.ratings import Feedback
from bot.feedback.reaction_test import ReactionTest
from bot.generation.inline import InlineQueries
from bot.generation.pipeline import OTHER_ENGINE_REQUESTS, OWN_ENGINE_REQUESTS, EngineRequests, GenerationPipeline
from bot.generation.preferences import Preferences
from bot.generation.service import GenerationService
from bot.learning.canary import CanaryMonitor
from bot.learning.nightly import Nightly
from bot.learning.preference_sync import PreferenceSync
from bot.learning.schedule import Schedule
from bot.messaging.alerts import AdminAlerts
from bot.messaging.confirmations import Confirmations
from bot.messaging.messenger import Renderer
from bot.moderation.enforcement import Bans, Reports
from bot.moderation.provenance import ProvenanceCheck
from bot.moderation.text_checks import CopyCheck, SafetyCheck
from bot.operations.backups import Backups, Cleanup
from bot.operations.health import Health
from bot.operations.model_versions import ModelVersions
from bot.privacy.consent import Consent
from bot.privacy.data_export import MyData
from bot.privacy.erasure import Erasure
from bot.privacy.retention import Retention
from bot.reporting.run_messages import RunMessages
from bot.reporting.statistics import ChatStatistics
from bot.serving.engine_process import EngineProcess
from bot.serving.version_router import VersionRouter
from bot.telegram.allow_list import AllowList
from bot.telegram.application import TelegramApplication, build_application, build_bot, publish_menu, reach
from bot.telegram.handlers import access, membership
from bot.telegram.handlers.access import ErrorHandler
from bot.telegram.handlers.admin import AdminHandlers, AdminOnly
from bot.telegram.handlers.info import InfoHandlers
from bot.telegram.handlers.inline import InlineHandlers
from bot.telegram.handlers.privacy import PrivacyHandlers
from bot.telegram.handlers.prompts import PromptHandlers
from bot.telegram.handlers.ratings import RatingHandlers
from bot.telegram.inbox import ALLOWED_UPDATES, Inbox, poll, webhook_app
from bot.telegram.rate_limiter import RateLimiter
from bot.telegram.sender import Sender
from engine.api.client import EngineClient
from engine.errors import EngineBusy, EngineUnavailable
from engine.safety.filter import load_filter
from engine.safety.near_copy import read_protected
from storage.db.database import Database
from storage.db.keyring import FINGERPRINTS
from storage.tables import inbox as stored_updates

logger = logging.getLogger(__name__)


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


async def live(  # noqa: PLR0915 - a list of all there is, and nothing else
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
    admin_ids, label, pseudonyms = settings.admin_ids, settings.label, keys.pseudonyms

    def closing(part: C) -> C:
        stack.push_async_callback(part.close)
        return part

    # Telegram
    metrics = BotMetrics()
    token = settings.telegram_bot_token.get_secret_value()
    rate_limiter = RateLimiter(limits=settings.pacing == "on", on_flood=metrics.floods.inc)
    api_url = str(settings.telegram_api_url)
    bot = build_bot(token=token, api_url=api_url, rate_limiter=rate_limiter, proxies=proxies())
    sender = Sender(bot)
    alerts = closing(AdminAlerts(db=db, messenger=sender, metrics=metrics, admin_ids=admin_ids))
    allow_list = closing(AllowList(
        settings=settings, bot=bot, sender=sender, alerts=alerts, metrics=metrics, db=db, pseudonyms=pseudonyms
    ))  # fmt: skip
    inbox = Inbox(
        db=db, bot=bot, metrics=metrics, alerts=alerts, allow_list=allow_list, reaction_values=settings.reaction_values
    )  # fmt: skip
    application = build_application(bot, inbox)
    await reach(application.initialize, timing)
    stack.push_async_callback(application.shutdown)

    # the engine, its versions, and its preference model
    is_own_engine = isinstance(engine, EngineProcess)
    router = VersionRouter(
        db=db, engine=engine.client if isinstance(engine, EngineProcess) else engine, model=settings.model,
        folder=settings.versions_path, canary_share=settings.canary_share,
    )  # fmt: skip
    await _load_versions(router, engine, metrics, timing)
    preference_sync = closing(PreferenceSync(
        db=db, metrics=metrics, settings=settings, timing=timing
    ))  # fmt: skip
    preference_sync.start()

    # moderation
    guard_model = None if settings.guard_model is None else router.engine
    safety = SafetyCheck(
        words=load_filter(settings.words_file), guard=guard_model, fails_open=settings.guard_fails == "open"
    )
    copies = CopyCheck(db=db, protected=read_protected(settings.protected_dir))
    marks = router.engine if settings.watermark == "on" else None
    provenance = ProvenanceCheck(db=db, keys=keys, label=label, engine=marks)

    def learn_more() -> None:
        """There may be more to learn from, and more that is not to be copied."""
        preference_sync.refit_soon()
        copies.mark_stale()

    def unlearn() -> None:
        """Somebody has withdrawn, or is erased or banned: what holds their words lets go of them at once."""
        preference_sync.reset()
        copies.clear()

    bans = Bans(db=db, pseudonyms=pseudonyms, on_change=unlearn, admin_ids=admin_ids)
    await bans.load()

    # from a prompt to a text, and from a text to its ratings
    kinds = settings.kinds_for(router.base)
    renderer = Renderer(kinds, label)
    rating_buttons = closing(RatingButtons(db=db, messenger=sender, timing=timing))
    pipeline = GenerationPipeline(
        db=db, messenger=sender, router=router, preference_sync=preference_sync, kinds=kinds, renderer=renderer,
        safety=safety, copies=copies, fingerprint_key=keys.keyring.key(FINGERPRINTS), metrics=metrics,
        requests=EngineRequests(OWN_ENGINE_REQUESTS if is_own_engine else OTHER_ENGINE_REQUESTS),
        answer_seconds=settings.answer_seconds,
    )  # fmt: skip
    reports = Reports(
        db=db, pseudonyms=pseudonyms, messenger=sender, show_again=pipeline.show_again, admin_ids=admin_ids,
        on_change=unlearn,
    )  # fmt: skip
    consent = Consent(db=db, pseudonyms=pseudonyms, messenger=sender, on_yes=learn_more, on_no=unlearn)
    service = closing(GenerationService(
        db=db, pseudonyms=pseudonyms, settings=settings, pipeline=pipeline, safety=safety,
        rating_buttons=rating_buttons, reports=reports, ask_consent=consent.ask_once,
    ))  # fmt: skip
    feedback = Feedback(
        db=db, pseudonyms=pseudonyms, rating_buttons=rating_buttons, reaction_values=settings.reaction_values,
        on_rating=learn_more,
    )  # fmt: skip
    preferences = Preferences(db=db, pseudonyms=pseudonyms, preference_sync=preference_sync)

    # the nightly run, and the canary that comes of it
    canary = closing(CanaryMonitor(db=db, router=router, settings=settings, timing=timing))
    nightly = closing(Nightly(db=db, router=router, settings=settings, conclude_canary=canary.conclude))
    statistics = ChatStatistics(db=db, pseudonyms=pseudonyms, settings=settings)
    run_messages = closing(RunMessages(
        db=db, nightly=nightly, messenger=sender, statistics=statistics, settings=settings, timing=timing
    ))  # fmt: skip
    nightly.on_end, canary.on_end = run_messages.run_ended, run_messages.trial_ended

    # operations and privacy
    backups = Backups(settings, keys)
    cleanup = Cleanup(db=db, backups=backups, alerts=alerts)
    health = Health(
        db=db, metrics=metrics, router=router, preference_sync=preference_sync, backups=backups, settings=settings
    )
    erasure = closing(Erasure(
        db=db, keys=keys, service=service, nightly=nightly, messenger=sender, settings=settings, cleanup=cleanup,
        on_erased=unlearn,
    ))  # fmt: skip
    await erasure.finish()
    retention = Retention(db=db, router=router, settings=settings)

    # handlers; the first that fits takes the update
    my_data = MyData(db=db, pseudonyms=pseudonyms, settings=settings)
    reaction_test = closing(ReactionTest(
        messenger=sender, reaction_access=sender.reaction_access, reaction_values=settings.reaction_values,
        timing=timing,
    ))  # fmt: skip
    inline_queries = closing(InlineQueries(
        db=db, service=service, renderer=renderer, kinds=kinds, messenger=sender, timing=timing
    ))  # fmt: skip
    confirmations = Confirmations()
    admin_only = AdminOnly(db=db, pseudonyms=pseudonyms, admin_ids=admin_ids)
    versions = ModelVersions(db=db, router=router, canary=canary, settings=settings)
    handlers = [
        *PromptHandlers(
            service=service, feedback=feedback, rating_buttons=rating_buttons, kinds=kinds, sender=sender
        ).handlers(),
        *RatingHandlers(feedback=feedback, reaction_test=reaction_test).handlers(),
        *InlineHandlers(inline=inline_queries, feedback=feedback).handlers(),
        *PrivacyHandlers(
            consent=consent, my_data=my_data, erasure=erasure, confirmations=confirmations, reports=reports,
            admin_only=admin_only, sender=sender, contact=settings.privacy_contact,
            retention_days=settings.retention_days,
        ).handlers(),
        *AdminHandlers(
            admin_only=admin_only, nightly=nightly, messages=run_messages, bans=bans,
            versions=versions, health=health, backups=backups,
            confirmations=confirmations, sender=sender,
        ).handlers(),
        *membership.handlers(sender, db, pseudonyms),
        *InfoHandlers(
            kinds=kinds, consent=consent, preferences=preferences, statistics=statistics, versions=versions,
            provenance=provenance, reaction_test=reaction_test, sender=sender, allow_list=allow_list,
        ).handlers(),
    ]  # fmt: skip
    errors = ErrorHandler(inbox=inbox, sender=sender, alerts=alerts, metrics=metrics)
    application.add_handlers({-1: access.handlers(bans, preferences, errors), 0: handlers})
    application.add_error_handler(errors)

    # begin: the run that was cut off, the clock, the texts and the updates that the last process left, then new ones
    await nightly.resume()
    await run_messages.resume()

    async def run_slot(slot: str) -> None:
        await stored_updates.prune(db, now=datetime.now(UTC))
        await cleanup.nightly()
        await nightly.begin(slot=slot)

    schedule = Schedule(db=db, trigger=settings.schedule, run_slot=run_slot)
    await schedule.start(hourly=retention.sweep)
    stack.callback(schedule.stop)
    canary.start()
    await publish_menu(bot, kinds, admin_ids)
    await service.resume()
    await inbox.resume()
    await application.start()
    stack.push_async_callback(application.stop)
    stack.callback(inbox.abandon)  # before the application waits for its handlers
    if not settings.is_open:
        logger.info("for %d people and %d chats only", len(settings.allowed_ids), len(settings.allowed_chats))
    receiving = await _receive(settings, stack, application, inbox, metrics, timing)
    listener = _listener("HEALTH_LISTEN", settings.health_listen)
    await stack.enter_async_context(serving(health.app(), listener))
    host, port = listener.getsockname()[:2]
    logger.info("ready: @%s answers with %s; health at http://%s:%s", bot.username, router.champion, host, port)
    await receiving


async def _load_versions(
    router: VersionRouter, engine: EngineProcess | EngineClient, metrics: BotMetrics, timing: Timing
) -> None:
    """Wait for the engine until it has the versions that serve."""
    if isinstance(engine, EngineProcess):
        await engine.start(router.load_versions)
        metrics.engine_restarts.set_function(lambda: engine.restarts)
        return
    while True:
        try:
            await router.load_versions()
            return
        except (EngineUnavailable, EngineBusy) as error:
            logger.warning("%s Trying ENGINE_URL again in %.0f seconds.", error, timing.retry)
            await asyncio.sleep(timing.retry)


async def _receive(
    settings: Settings,
    stack: AsyncExitStack,
    application: TelegramApplication,
    inbox: Inbox,
    metrics: BotMetrics,
    timing: Timing,
) -> asyncio.Task[None]:
    """Let Telegram send updates, by webhook or by polling; the task ends only if that cannot go on."""
    bot = application.bot
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        secret = settings.webhook_secret.get_secret_value()
        app = webhook_app(settings.webhook_url.path or "/", inbox=inbox, secret=secret, metrics=metrics)
        await stack.enter_async_context(serving(app, _listener("WEBHOOK_LISTEN", settings.webhook_listen)))
        url = str(settings.webhook_url)
        await reach(partial(bot.set_webhook, url, secret_token=secret, allowed_updates=ALLOWED_UPDATES), timing)
        receiving = asyncio.create_task(_for_ever(), name="webhook")
    else:
        url = f"{bot.base_url}/getUpdates"
        http = await stack.enter_async_context(httpx.AsyncClient(transport=proxies().transport(url)))
        await reach(bot.delete_webhook, timing)  # Telegram refuses polls while one is set
        receiving = asyncio.create_task(poll(http, url, inbox=inbox, metrics=metrics, timing=timing), name="polling")
    stack.push_async_callback(cancel, receiving)
    return receiving


def _listener(name: str, address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return listen(host.strip("[]"), int(port))
    except OSError as error:
        raise StartError(f"{name}: {address} cannot be used: {error.strerror}.") from error


async def _for_ever() -> None:
    await asyncio.Event().wait()
