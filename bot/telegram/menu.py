"""What Telegram shows of the bot before anybody speaks: its commands, by language and place, and its description.

People see in private what they can ask for and what is theirs; groups see no command that works in private only; the
admins of the bot see in their private chats what is theirs to do as well. Knows Telegram's types and sentences.
"""

import logging
from collections.abc import Collection, Iterator

from telegram import BotCommand, BotCommandScope, BotCommandScopeAllGroupChats, BotCommandScopeChat
from telegram import BotCommandScopeDefault as Everywhere
from telegram.error import TelegramError
from telegram.ext import ExtBot

from bot.common.command_names import ADMIN_MENU, MENU, PRIVATE_ONLY
from bot.common.kinds import Kinds
from bot.common.texts import LANGUAGES, say
from bot.messaging.messenger import Urgency

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
