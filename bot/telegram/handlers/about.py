"""/about, as a reply to a text: what wrote it; alone: what writes now. Unpacks and calls the service."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.reporting.cards import Cards
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import incoming, reply


def handlers(cards: Cards, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_about(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        if message.replies_to is None:
            words = await cards.of_champion(message.language)
        else:
            words = await cards.of_text(message.request.chat_id, message.replies_to, message.language)
        await reply(delivery, message, words)

    return [CommandHandler("about", on_about, filters=filters.UpdateType.MESSAGE)]
