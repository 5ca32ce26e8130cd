"""What Telegram shows of the bot before anybody speaks: its commands, by language and place, and its description.

People see in private what they can ask for and what is theirs; groups see no command that works in private only; the
admins of the bot see in their private chats what is theirs to do as well. Knows Telegram's types and sentences.

Builds the Telegram application: the bot, every handler in order, the error handler, the menu.

Knows the order of the handlers. Knows nothing of how the services are made.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from telegram import BotCommand, BotCommandScope, BotCommandScopeAllGroupChats, BotCommandScopeChat
from telegram import BotCommandScopeDefault as Everywhere
from telegram.error import TelegramError
from telegram.ext import Application, ApplicationBuilder, BaseHandler, ExtBot
from telegram.request import HTTPXRequest

from bot.common.i18n import LANGUAGES, say
from bot.common.kinds import ADMIN_MENU, MENU, PRIVATE_ONLY, Kinds
from bot.messaging.messenger import Urgency
from bot.telegram.handlers.access import ErrorHandler
from bot.telegram.inbox import Inbox
from bot.telegram.rate_limiter import RateLimiter

logger = logging.getLogger(__name__)


async def publish_menu(bot: ExtBot[Urgency], kinds: Kinds, admin_ids: Collection[int]) -> None:
    """Tell Telegram the commands, and that this is an AI, per language; a refusal costs the menu, not the start."""
    for language in LANGUAGES:
        tag = None if language == "en" else language
        for scope, names in _menus(admin_ids):
            commands = [BotCommand(kind.name, kind.description[language]) for kind in kinds.by_name.values()]
            commands += [BotCommand(name, say(language, f"menu-{name}")) for name in names]
            try:
                await bot.set_my_commands(commands, scope=scope, language_code=tag)
            except TelegramError as error:  # an admin who has never spoken to the bot has no chat with it
                logger.warning("the menu (%s, %s) was refused: %s", language, scope.type, type(error).__name__)
        try:
            await bot.set_my_description(say(language, "description"), language_code=tag)
            await bot.set_my_short_description(say(language, "description-short"), language_code=tag)
        except TelegramError as error:
            logger.warning("the description (%s) was refused: %s", language, type(error).__name__)


def _menus(admin_ids: Collection[int]) -> Iterator[tuple[BotCommandScope, tuple[str, ...]]]:
    """Where, and the commands there beside the kinds."""
    yield Everywhere(), MENU
    yield BotCommandScopeAllGroupChats(), tuple(name for name in MENU if name not in PRIVATE_ONLY)
    for admin in admin_ids:
        yield BotCommandScopeChat(admin), (*MENU, *ADMIN_MENU)


TelegramApplication = Application[Any, Any, Any, Any, Any, Any]

"""The commands in the menu behind those of the kinds."""
_TIMEOUT_SECONDS = 15.0
_CONNECTIONS = 64


def build_bot(*, token: str, api_url: str, rate_limiter: RateLimiter) -> ExtBot[Urgency]:
    """A bot that speaks to the Bot API at `api_url`, at the rate limiter's pace."""
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
        rate_limiter=rate_limiter,
    )


def build_application(bot: ExtBot[Urgency], inbox: Inbox) -> TelegramApplication:
    """An application without handlers; `install` adds them. Updates come through the inbox."""
    builder = ApplicationBuilder().bot(bot).updater(None).update_queue(inbox.queue)
    return builder.concurrent_updates(inbox).job_queue(None).build()


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
