"""Prompts: the kinds' commands, plain text, mentions and replies in words. Unpacks and calls the studio."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, MessageHandler, filters

from bot.common.kinds import Kind, Kinds
from bot.generation.studio import Studio
from bot.telegram.incoming import incoming, without_mention


def handlers(studio: Studio, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for each kind's command, and one for addressed text."""

    def command(kind: Kind) -> CommandHandler[Any, Any]:
        async def on_command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
            message = incoming(update, bot_id=context.bot.id)
            if message is not None:
                await studio.write(message.request, kind, message.argument)

        return CommandHandler(kind.name, on_command, filters=filters.UpdateType.MESSAGE)

    async def on_text(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        words = message.text
        if message.replies_to is not None and await studio.refine(message.request, message.replies_to, lambda _: words):
            return
        topic, is_mentioned = without_mention(context.bot.username, message.text)
        if message.is_private or is_mentioned:
            await studio.write(message.request, kinds.default, topic)

    text = MessageHandler(filters.UpdateType.MESSAGE & filters.TEXT & ~filters.COMMAND, on_text)
    return [*(command(kind) for kind in kinds.by_name.values()), text]
