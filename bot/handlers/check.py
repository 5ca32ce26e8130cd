"""/check: did this bot write a text? Unpacks the text, or the message that is replied to, and answers."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.checking import Checking
from bot.delivery import Delivery
from bot.errors import Refusal
from bot.incoming import answer, incoming


def handlers(checking: Checking, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the command."""

    async def on_check(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None or update.message is None:
            return
        replied = update.message.reply_to_message
        text = message.argument.strip() or (replied.text if replied is not None else None)
        if not text:
            raise Refusal("check-usage")
        request = message.request
        sentence, number = await checking.verdict(text, person_id=request.person_id, chat_id=request.chat_id)
        if number is None:
            await answer(delivery, message, sentence)
        else:
            await answer(delivery, message, sentence, generation=str(number))

    return [CommandHandler("check", on_check, filters=filters.UpdateType.MESSAGE)]
