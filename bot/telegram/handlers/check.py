"""/check with a text, or as a reply to one: did this bot write it? Alone: do reactions and presses reach it?

Unpacks, calls the services and answers. The reactions of the test come by `react`, like all others.
"""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.feedback.live_check import LiveCheck
from bot.moderation.checking import Checking
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import address_of, answer, incoming, replied_to, toast


def handlers(checking: Checking, live_check: LiveCheck, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and the button of the test."""

    async def on_check(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None or update.message is None:
            return
        replied = replied_to(update.message)
        text = message.argument.strip() or (replied.text if replied is not None else None)
        if not text and replied is None:
            await live_check.begin(address_of(message), message.language)
            return
        if not text:
            raise Refusal("check-usage")
        request = message.request
        sentence, number = await checking.verdict(text, person_id=request.person_id, chat_id=request.chat_id)
        if number is None:
            await answer(delivery, message, sentence)
        else:
            await answer(delivery, message, sentence, generation=str(number))

    async def on_press(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is not None and query.message is not None:
            live_check.pressed(chat_id=query.message.chat.id, message_id=query.message.message_id)
            await toast(query, "check-live-pressed")

    return [
        CommandHandler("check", on_check, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_press, pattern=r"^live$"),
    ]
