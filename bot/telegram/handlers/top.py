"""/top: the best-loved texts of the week in this chat. Unpacks and calls the service."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.reporting.favourites import Favourites
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import incoming, reply


def handlers(favourites: Favourites, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_top(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            await reply(delivery, message, await favourites.of_chat(message.request.chat_id, message.language))

    return [CommandHandler("top", on_top, filters=filters.UpdateType.MESSAGE)]
