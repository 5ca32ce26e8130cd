"""The yes and no buttons under a question that must not be answered by accident. Unpacks, and says what was done."""

from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes

from bot.common.identity import Pseudonyms
from bot.common.texts import language_of, say
from bot.messaging.confirmations import Confirmations
from bot.messaging.messenger import patiently
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import toast
from storage.db.database import Database
from storage.db.records import Deed
from storage.tables import audit


def handlers(
    confirmations: Confirmations, delivery: Delivery, db: Database, pseudonyms: Pseudonyms
) -> list[BaseHandler[Any, Any, Any]]:
    """One handler for both buttons."""

    async def on_answer(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        word, _colon, nonce = query.data.partition(":")
        chat_id, message_id = query.message.chat.id, query.message.message_id
        person_id = query.from_user.id
        done = await confirmations.answer(nonce, is_yes=word == "yes", person_id=person_id, chat_id=chat_id)
        language = language_of(query.from_user.language_code)
        if done is None:
            words = say(language, "confirm-dropped")
        else:
            actor = "somebody" if done.is_nameless else pseudonyms.person(person_id)
            await audit.append(db, Deed(datetime.now(UTC), actor, done.action, done.detail))
            words = say(language, done.text, **done.values)
        await toast(query, "confirm-heard")
        await patiently(lambda: delivery.edit(chat_id, message_id, words))

    return [CallbackQueryHandler(on_answer, pattern=r"^(yes|no):[\w-]{16}$")]
