"""The bot's lines to the outside: to Telegram, to its engine, and to those on this machine who ask for its health.

Each is opened with its undoing put on the stack. Knows sockets, processes and retries; what is said over the lines is
for others.
"""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack

import httpx
from telegram.error import InvalidToken, NetworkError

from bot.common.errors import StartError
from bot.common.serving import listen, serving
from bot.common.settings import Settings
from bot.common.timing import Timing
from bot.common.vitals import Vitals
from bot.operations.health import Health
from bot.operations.health_app import health_app
from bot.serving.engines import EngineLink
from bot.serving.switchboard import Switchboard
from bot.telegram.intake import ALLOWED_UPDATES, InboxProcessor, Intake
from bot.telegram.polling import Poller
from bot.telegram.telegram_app import TelegramApplication
from bot.telegram.webhook import Webhook
from engine.errors import EngineUnavailable
from storage.db.database import Database

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
    settings: Settings, db: Database, link: EngineLink, vitals: Vitals, timing: Timing
) -> Switchboard:
    """Wait for the engine; the switchboard is ready then."""
    switchboard = Switchboard(
        db=db, engine=link.client, folder=settings.data_dir / "versions", canary_share=settings.canary_share,
        model=settings.model,
    )  # fmt: skip
    process = link.process
    if process is not None:
        await process.start(switchboard.install)
        vitals.engine_restarts.set_function(lambda: process.restarts)
        return switchboard
    while True:
        try:
            await switchboard.install()
            return switchboard
        except EngineUnavailable as error:
            logger.warning("%s Trying ENGINE_URL again in %.0f seconds.", error, timing.retry)
            await asyncio.sleep(timing.retry)


async def receive(
    settings: Settings,
    stack: AsyncExitStack,
    application: TelegramApplication,
    processor: InboxProcessor,
    intake: Intake,
    vitals: Vitals,
    timing: Timing,
) -> asyncio.Task[None]:
    """Take up what was accepted before, then let Telegram send more; the task ends only if that cannot go on."""
    await intake.take_up()
    await application.start()
    stack.push_async_callback(_stop, application, processor)
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        await _open_webhook(settings, stack, application, Webhook(
            intake=intake, processor=processor, secret=settings.webhook_secret.get_secret_value(), vitals=vitals
        ))  # fmt: skip
        work = asyncio.create_task(_for_ever(), name="webhook")
    else:
        http = await stack.enter_async_context(httpx.AsyncClient())
        url = f"{application.bot.base_url}/getUpdates"
        poller = Poller(url=url, http=http, intake=intake, processor=processor, vitals=vitals, timing=timing)
        work = asyncio.create_task(_poll(application, poller, timing), name="polling")
    stack.push_async_callback(_end, work)
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


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def _stop(application: TelegramApplication, processor: InboxProcessor) -> None:
    """Stop handling; what is cut off is in the inbox."""
    processor.abandon()
    await application.stop()
