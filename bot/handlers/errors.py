"""The one error handler. A refusal is answered with its sentence; anything else is logged, buried, and apologised for.

No exception's own words ever reach a person.
"""

import logging

from telegram import Update
from telegram.error import TelegramError
from telegram.ext import ContextTypes

from bot.delivery import Delivery
from bot.errors import DeliveryError, Refusal
from bot.messenger import Address
from bot.texts import language_of, say
from storage import inbox
from storage.database import Database

logger = logging.getLogger(__name__)


class ErrorHandler:
    """Awaited by python-telegram-bot with every exception that a handler lets out."""

    def __init__(self, *, db: Database, delivery: Delivery) -> None:
        self._db = db
        self._delivery = delivery

    async def __call__(self, update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Answer a refusal; log and bury everything else, then apologise."""
        error = context.error
        if isinstance(error, Refusal) and isinstance(update, Update):
            await self._say(update, error.text, error.values)
            return
        logger.error("an update could not be handled", exc_info=error)
        if isinstance(update, Update):
            await inbox.bury(self._db, update.update_id, error=type(error).__name__)
            await self._say(update, "error", {})

    async def _say(self, update: Update, text: str, values: dict[str, str | int]) -> None:
        user, message, query = update.effective_user, update.message, update.callback_query
        sentence = say(language_of(user.language_code if user else None), text, **values)
        try:
            if query is not None:
                await query.answer(sentence, show_alert=True)
            elif message is not None:
                topic = message.message_thread_id if message.is_topic_message else None
                address = Address(chat_id=message.chat_id, reply_to=message.message_id, thread_id=topic)
                await self._delivery.send(address, sentence)
        except (DeliveryError, TelegramError) as again:
            logger.warning("a sentence could not be shown: %s", type(again).__name__)
