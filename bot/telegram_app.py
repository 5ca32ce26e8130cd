"""Builds the Telegram application: the bot that accepts before it confirms, every handler, the error handler, the menu.

Knows the order of the handlers. Knows nothing of how the services are made.
"""

import logging
from collections.abc import Sequence
from typing import Any

from telegram import BotCommand
from telegram.error import TelegramError
from telegram.ext import Application, ApplicationBuilder, BaseHandler
from telegram.request import HTTPXRequest

from bot.handlers.errors import ErrorHandler
from bot.intake import AcceptingBot, InboxProcessor
from bot.kinds import Kinds
from bot.texts import LANGUAGES, say
from storage.database import Database

logger = logging.getLogger(__name__)

TelegramApplication = Application[Any, Any, Any, Any, Any, Any]

_TIMEOUT_SECONDS = 15.0
_CONNECTIONS = 64


def build_bot(db: Database, *, token: str, api_url: str) -> AcceptingBot:
    """A bot that speaks to the Bot API at `api_url`, with separate connections for polling."""
    root = api_url.rstrip("/")
    return AcceptingBot(
        db,
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
        get_updates_request=HTTPXRequest(connection_pool_size=2, read_timeout=_TIMEOUT_SECONDS),
    )


def build_application(bot: AcceptingBot, processor: InboxProcessor) -> TelegramApplication:
    """An application without handlers; `install` adds them."""
    return ApplicationBuilder().bot(bot).concurrent_updates(processor).job_queue(None).build()


def install(
    application: TelegramApplication, parts: Sequence[Sequence[BaseHandler[Any, Any, Any]]], *, on_error: ErrorHandler
) -> None:
    """Add the handlers of every part, in order: the first that fits takes the update."""
    for part in parts:
        application.add_handlers(part)
    application.add_error_handler(on_error)


async def publish_menu(bot: AcceptingBot, kinds: Kinds) -> None:
    """Tell Telegram the commands, per language; a refusal costs the menu, not the start."""
    for language in LANGUAGES:
        commands = [BotCommand(kind.name, kind.description[language]) for kind in kinds.by_name.values()]
        commands += [BotCommand(name, say(language, f"menu-{name}")) for name in ("help", "optin", "optout", "privacy")]
        try:
            await bot.set_my_commands(commands, language_code=None if language == "en" else language)
        except TelegramError as error:
            logger.warning("the command menu (%s) was refused: %s", language, type(error).__name__)
