"""Those who write in a group as the group itself, or as a channel of theirs: who addresses the bot so is told why not.

Nobody can tell them apart, so limits, consent and /forget could not be theirs. What Telegram brings from the group's
channel is addressed to nobody. Install it before all that answers people.
"""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.command_names import TAKEN
from bot.common.errors import Refusal
from bot.common.kinds import Kinds
from bot.telegram.incoming import is_ours, without_mention

_FROM_A_CHAT = filters.UpdateType.MESSAGE & filters.SenderChat.ALL & ~filters.IS_AUTOMATIC_FORWARD


def handlers(kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the commands, and one for mentions and replies."""

    async def on_command(_update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        raise Refusal("written-as-chat")

    async def on_text(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = update.message
        if message is None or message.text is None:
            return
        _, is_mentioned = without_mention(context.bot.username, message.text)
        if is_mentioned or is_ours(message.reply_to_message, bot_id=context.bot.id):
            raise Refusal("written-as-chat")

    return [
        CommandHandler([*kinds.by_name, *TAKEN], on_command, filters=_FROM_A_CHAT),
        MessageHandler(_FROM_A_CHAT & filters.TEXT, on_text),
    ]
