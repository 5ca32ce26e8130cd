"""/stats: the picture of what is learned here. Unpacks and calls the service."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.messaging.messenger import patiently
from bot.reporting.statistics import StatisticsDesk
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import address_of, incoming


def handlers(desk: StatisticsDesk, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_stats(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        request = message.request
        picture = await desk.picture(
            chat_id=request.chat_id, person_id=request.person_id, is_private=message.is_private,
            language=message.language,
        )  # fmt: skip
        await patiently(lambda: delivery.send_picture(address_of(message), picture.png, caption=picture.caption))

    return [CommandHandler("stats", on_stats, filters=filters.UpdateType.MESSAGE)]
