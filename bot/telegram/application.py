"""The application of python-telegram-bot, and what Telegram shows of the bot before anybody speaks.

That is its commands, by language and place, and its description. People see in private what they can ask for and what
is theirs; groups see no command that works in private only; admins see in their private chats their own commands too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import httpx
from telegram import BotCommand, BotCommandScope, BotCommandScopeAllGroupChats, BotCommandScopeChat
from telegram import BotCommandScopeDefault as Everywhere
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import Application, ApplicationBuilder, ExtBot
from telegram.request import HTTPXRequest

from bot.common.errors import StartError
from bot.common.i18n import LANGUAGES, say
from bot.common.kinds import ADMIN_MENU, MENU, PRIVATE_ONLY, Kinds
from bot.common.proxies import Proxies
from bot.common.timing import Timing
from bot.messaging.messenger import Urgency
from bot.telegram.inbox import Inbox
from bot.telegram.rate_limiter import RateLimiter, seconds_of

logger = logging.getLogger(__name__)

TelegramApplication = Application[Any, Any, Any, Any, Any, Any]

_TIMEOUT_SECONDS = 15.0
_CONNECTIONS = 64
_NOT_TELEGRAMS = (TelegramError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
"""What the library raises over an answer that is not the Bot API's: a page of a proxy, other JSON, no result."""


def build_bot(*, token: str, api_url: str, rate_limiter: RateLimiter, proxies: Proxies) -> ExtBot[Urgency]:
    """A bot that speaks to the Bot API at `api_url`."""
    root = api_url.rstrip("/")
    transport = proxies.transport(root, httpx.Limits(max_connections=_CONNECTIONS))
    request = HTTPXRequest(
        read_timeout=_TIMEOUT_SECONDS, write_timeout=_TIMEOUT_SECONDS, connect_timeout=_TIMEOUT_SECONDS,
        pool_timeout=_TIMEOUT_SECONDS, httpx_kwargs={"transport": transport},
    )  # fmt: skip
    return ExtBot(
        token=token, base_url=f"{root}/bot", base_file_url=f"{root}/file/bot", request=request,
        get_updates_request=request, rate_limiter=rate_limiter,
    )  # fmt: skip


def build_application(bot: ExtBot[Urgency], inbox: Inbox) -> TelegramApplication:
    """An application without handlers, whose updates come through the inbox."""
    builder = ApplicationBuilder().bot(bot).updater(None).update_queue(inbox.queue)
    return builder.concurrent_updates(inbox).job_queue(None).build()


async def reach(call: Callable[[], Awaitable[object]], timing: Timing) -> None:
    """Make a call that the start cannot do without, again and again: Telegram may be away, or ask to wait.

    Raises:
        StartError: it is refused for good.
    """
    while True:
        wait = timing.retry
        try:
            await call()
            return
        except RetryAfter as error:
            wait, why = max(wait, seconds_of(error)), "Telegram asks to wait."
        except _NOT_TELEGRAMS as error:
            why = _why_not(error)
        logger.warning("%s Trying it again in %.0f seconds.", why, wait)
        await asyncio.sleep(wait)


def _why_not(error: Exception) -> str:
    """Why a call has brought nothing, where it may yet.

    Raises:
        StartError: it never will.
    """
    if isinstance(error, NetworkError) and not isinstance(error, BadRequest):
        way = error.__cause__
        return f"Telegram cannot be reached{f': {way}' if isinstance(way, httpx.ProxyError) else '.'}"
    if not isinstance(error, InvalidToken | BadRequest | Forbidden) or not _is_telegrams(error):
        return "The answer is not Telegram's; is TELEGRAM_API_URL right?"
    if isinstance(error, InvalidToken):
        raise StartError("Telegram does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather.") from error
    words = " ".join(error.message.split()).rstrip(".")
    raise StartError(f"Telegram refuses the start ({words}): correct what it names in the settings.") from error


def _is_telegrams(error: BaseException | None) -> bool:
    """Whether a refusal was Telegram's JSON, and no page of something between; the library says so by a cause."""
    while error is not None:
        if type(error) is TelegramError:
            return False
        error = error.__cause__
    return True


async def publish_menu(bot: ExtBot[Urgency], kinds: Kinds, admin_ids: Collection[int]) -> None:
    """Tell Telegram the commands, and that this is an AI, per language; a refusal costs the menu, not the start."""
    for language in LANGUAGES:
        tag = None if language == "en" else language
        for scope, names in _menus(admin_ids):
            commands = [BotCommand(kind.name, kind.description[language]) for kind in kinds.by_name.values()]
            commands += [BotCommand(name, say(language, f"menu-{name}")) for name in names]
            try:
                await bot.set_my_commands(commands, scope=scope, language_code=tag)
            except _NOT_TELEGRAMS as error:  # an admin who has never spoken to the bot has no chat with it
                logger.warning("the menu (%s, %s) was refused: %s", language, scope.type, type(error).__name__)
        try:
            await bot.set_my_description(say(language, "description"), language_code=tag)
            await bot.set_my_short_description(say(language, "description-short"), language_code=tag)
        except _NOT_TELEGRAMS as error:
            logger.warning("the description (%s) was refused: %s", language, type(error).__name__)


def _menus(admin_ids: Collection[int]) -> Iterator[tuple[BotCommandScope, tuple[str, ...]]]:
    """Where, and the commands there beside the kinds."""
    yield Everywhere(), MENU
    yield BotCommandScopeAllGroupChats(), tuple(name for name in MENU if name not in PRIVATE_ONLY)
    for admin in admin_ids:
        yield BotCommandScopeChat(admin), (*MENU, *ADMIN_MENU)
