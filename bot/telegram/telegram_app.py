"""Builds the Telegram application: the bot, every handler in order, the error handler, the menu.

Knows the order of the handlers. Knows nothing of how the services are made.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from telegram.ext import Application, ApplicationBuilder, BaseHandler, ExtBot
from telegram.request import HTTPXRequest

from bot.messaging.messenger import Urgency
from bot.telegram.handlers.errors import ErrorHandler
from bot.telegram.intake import InboxProcessor
from bot.telegram.pacing import Pacer

logger = logging.getLogger(__name__)

TelegramApplication = Application[Any, Any, Any, Any, Any, Any]

"""The commands in the menu behind those of the kinds."""
_TIMEOUT_SECONDS = 15.0
_CONNECTIONS = 64


def build_bot(*, token: str, api_url: str, pacer: Pacer) -> ExtBot[Urgency]:
    """A bot that speaks to the Bot API at `api_url`, at the pacer's pace."""
    root = api_url.rstrip("/")
    return ExtBot(
        token=token,
        base_url=f"{root}/bot",
        base_file_url=f"{root}/file/bot",
        request=HTTPXRequest(
            connection_pool_size=_CONNECTIONS,
            read_timeout=_TIMEOUT_SECONDS,
            write_timeout=_TIMEOUT_SECONDS,
            connect_timeout=_TIMEOUT_SECONDS,
            pool_timeout=_TIMEOUT_SECONDS,
        ),
        rate_limiter=pacer,
    )


def build_application(
    bot: ExtBot[Urgency], processor: InboxProcessor, queue: "asyncio.Queue[object]"
) -> TelegramApplication:
    """An application without handlers; `install` adds them. Updates come through `queue`."""
    builder = ApplicationBuilder().bot(bot).updater(None).update_queue(queue)
    return builder.concurrent_updates(processor).job_queue(None).build()


def install(
    application: TelegramApplication,
    door: Sequence[BaseHandler[Any, Any, Any]],
    parts: Sequence[Sequence[BaseHandler[Any, Any, Any]]],
    *,
    on_error: ErrorHandler,
) -> None:
    """Put the door before everything, then add the handlers of every part: the first that fits takes the update."""
    application.add_handlers(door, group=-1)
    for part in parts:
        application.add_handlers(part)
    application.add_error_handler(on_error)
