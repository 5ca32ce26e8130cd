"""The composition root: opens every part in order, runs until told to stop, closes them in reverse.

The one place that knows all parts. Stopping is quick because nothing is lost by it: unfinished updates, generations
and runs are in the database and are taken up at the next start.
"""

import asyncio
import contextlib
import logging
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import httpx
from telegram.error import Conflict, InvalidToken, NetworkError, TelegramError

from bot import data_folder
from bot.bulletin import Bulletin
from bot.composer import Composer
from bot.consent import Consent
from bot.delivery import Delivery
from bot.engine_process import EngineProcess, free_port
from bot.errors import StartError
from bot.feedback import Feedback
from bot.handlers import admin, commands, generate, privacy, rate
from bot.handlers.admin import AdminCommands
from bot.handlers.errors import ErrorHandler
from bot.identity import Pseudonyms, load_key
from bot.intake import ALLOWED_UPDATES, InboxProcessor, unhandled
from bot.kinds import load_kinds
from bot.models import Models
from bot.nightly import Nightly, Policy
from bot.schedule import Schedule
from bot.serving import listen, serving
from bot.settings import Settings
from bot.studio import Studio
from bot.switchboard import Switchboard
from bot.telegram_app import TelegramApplication, build_application, build_bot, install, publish_menu
from bot.webhook import Webhook
from engine.client import EngineClient
from storage import inbox
from storage.database import Database

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 3.0
_STOP_SECONDS = 3.0
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


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder.held(settings.data_dir))
        is_new = not settings.database_path.exists()
        pseudonyms = Pseudonyms(load_key(settings.key_path, is_new_installation=is_new))
        db = await Database.open(settings.database_path)
        stack.push_async_callback(db.close)
        token = settings.telegram_bot_token.get_secret_value()
        bot = build_bot(db, token=token, api_url=str(settings.telegram_api_url))
        processor = InboxProcessor(db)
        application = build_application(bot, processor)
        await _initialize(application)
        stack.push_async_callback(application.shutdown)
        switchboard = await _engine(settings, stack, db)
        delivery = Delivery(bot)
        kinds = load_kinds()
        composer = Composer(
            db=db, engine=switchboard.engine, messenger=delivery, switchboard=switchboard, kinds=kinds,
            label=settings.label,
        )  # fmt: skip
        studio = Studio(
            db=db, composer=composer, kinds=kinds, pseudonyms=pseudonyms, prompts_per_hour=settings.prompts_per_hour
        )
        stack.push_async_callback(studio.close)
        feedback = Feedback(db=db, pseudonyms=pseudonyms, messenger=delivery)
        stack.push_async_callback(feedback.close)
        nightly, bulletin = _learning(settings, stack, db, switchboard, delivery)
        models = Models(db=db, switchboard=switchboard)
        operator = AdminCommands(nightly=nightly, models=models, bulletin=bulletin, delivery=delivery)
        parts = [
            generate.handlers(studio, kinds),
            rate.handlers(feedback, studio),
            privacy.handlers(Consent(db=db, pseudonyms=pseudonyms), delivery),
            admin.handlers(operator, settings.admin_ids),
            commands.handlers(kinds, delivery),
        ]
        install(application, parts, on_error=ErrorHandler(db=db, delivery=delivery))
        await publish_menu(bot, kinds)
        await studio.resume()
        await _keep_time(settings, stack, db, nightly, bulletin)
        await _listen(settings, application, processor, db, stack)
        logger.info("ready: @%s answers with %s", bot.username, switchboard.champion)
        await asyncio.Event().wait()


def _learning(
    settings: Settings, stack: AsyncExitStack, db: Database, switchboard: Switchboard, delivery: Delivery
) -> tuple[Nightly, Bulletin]:
    """The nightly work, and those who are told of it."""
    policy = Policy(
        model=settings.model,
        min_ratings=settings.min_ratings,
        promotion=settings.promotion,
        canary_share=settings.canary_share,
        tenure_days=settings.tenure_days,
    )
    nightly = Nightly(db=db, switchboard=switchboard, data_dir=settings.data_dir, policy=policy)
    stack.push_async_callback(nightly.close)
    bulletin = Bulletin(db=db, nightly=nightly, messenger=delivery, admin_ids=settings.admin_ids)
    stack.push_async_callback(bulletin.close)
    nightly.when_ended(bulletin.tell)
    return nightly, bulletin


async def _keep_time(
    settings: Settings, stack: AsyncExitStack, db: Database, nightly: Nightly, bulletin: Bulletin
) -> None:
    """Finish the run that was cut off, make up for a missed night, and wait for the next."""
    await nightly.resume()
    await bulletin.resume()

    async def run_slot(slot: str) -> None:
        await inbox.forget_old(db, now=datetime.now(UTC))
        await nightly.begin(slot=slot)

    schedule = Schedule(db=db, line=settings.retrain_at, timezone=settings.timezone, run_slot=run_slot)
    await schedule.start()
    stack.callback(schedule.stop)


async def _initialize(application: TelegramApplication) -> None:
    """Learn who we are, waiting for the network as long as it takes."""
    while True:
        try:
            return await application.initialize()
        except InvalidToken as error:
            raise StartError("Telegram does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather.") from error
        except NetworkError:
            logger.warning("Telegram cannot be reached; trying again in %.0f seconds", _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)


async def _engine(settings: Settings, stack: AsyncExitStack, db: Database) -> Switchboard:
    """Start our own engine, or find the one that ENGINE_URL names; the switchboard is ready then."""
    http = await stack.enter_async_context(
        httpx.AsyncClient(timeout=_ENGINE_TIMEOUT, limits=httpx.Limits(max_connections=None))
    )
    port = free_port()
    url = str(settings.engine_url or f"http://127.0.0.1:{port}").rstrip("/")
    client = EngineClient(url, http=http)
    versions = settings.data_dir / "versions"
    versions.mkdir(exist_ok=True)
    switchboard = Switchboard(db=db, engine=client, folder=versions, canary_share=settings.canary_share)
    if settings.engine_url is None:
        process = EngineProcess(model=settings.model, port=port, versions=versions, client=client)
        stack.push_async_callback(process.stop)
        await process.start(switchboard.install)
    else:
        while not await client.is_ready():
            logger.warning("the engine at %s does not answer; trying again in %.0f seconds", url, _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)
        await switchboard.install()
    return switchboard


async def _listen(
    settings: Settings, application: TelegramApplication, processor: InboxProcessor, db: Database, stack: AsyncExitStack
) -> None:
    """Take up what was accepted before, then let Telegram send more, by webhook or by polling."""
    for update in await unhandled(db, application.bot):
        await application.update_queue.put(update)
    await application.start()
    stack.push_async_callback(_stop, application, processor)
    if settings.webhook_url is None or settings.webhook_secret is None:
        updater = application.updater
        assert updater is not None, "built with an updater"
        await updater.start_polling(
            allowed_updates=ALLOWED_UPDATES, bootstrap_retries=-1, error_callback=_log_polling_error
        )
        return
    secret = settings.webhook_secret.get_secret_value()
    host, _, port = settings.webhook_listen.rpartition(":")
    try:
        listener = listen(host.strip("[]"), int(port))
    except OSError as error:
        raise StartError(f"WEBHOOK_LISTEN: {settings.webhook_listen} cannot be used: {error.strerror}.") from error
    webhook = Webhook(db=db, bot=application.bot, queue=application.update_queue, secret=secret)
    await stack.enter_async_context(serving(webhook.app(settings.webhook_url.path or "/"), listener))
    await application.bot.set_webhook(str(settings.webhook_url), secret_token=secret, allowed_updates=ALLOWED_UPDATES)


async def _stop(application: TelegramApplication, processor: InboxProcessor) -> None:
    """Stop asking, then stop handling; what is cut off is in the inbox."""
    updater = application.updater
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            if updater is not None and updater.running:
                await updater.stop()
    except TimeoutError:
        logger.warning("Telegram did not answer the last call in time")
    processor.abandon()
    await application.stop()


def _log_polling_error(error: TelegramError) -> None:
    if isinstance(error, Conflict):
        logger.error("another program polls with this token: stop it, or nothing arrives here reliably")
    else:
        logger.warning("Telegram cannot be reached: %s", type(error).__name__)
