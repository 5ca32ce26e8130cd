"""Stopping what is being written: ⏹ for one text, /cancel for all of a person's. Unpacks and calls the studio."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.generation.studio import Studio
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import answer, incoming, pressed, toast


def handlers(studio: Studio, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the button and the command."""

    async def on_stop(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is not None:
            is_stopped = await studio.stop(
                generation,
                shown_in=query.message.message_id,
                chat_id=query.message.chat.id,
                person_id=query.from_user.id,
            )
            await toast(query, "stopped" if is_stopped else "orphan-removed")

    async def on_cancel(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            stopped = await studio.cancel(message.request.chat_id, message.request.person_id)
            await answer(delivery, message, "cancel-done" if stopped else "cancel-nothing", texts=stopped)

    return [
        CallbackQueryHandler(on_stop, pattern=r"^stop:\d{1,18}$"),
        CommandHandler("cancel", on_cancel, filters=filters.UpdateType.MESSAGE),
    ]
