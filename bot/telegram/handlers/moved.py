"""A group becomes a supergroup, with another id: Telegram says so in both. Unpacks and lets the storage follow."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, ContextTypes, MessageHandler, filters

from bot.common.identity import Pseudonyms
from storage.db.database import Database
from storage.tables import moves


def handlers(db: Database, pseudonyms: Pseudonyms) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for the two service messages."""

    async def on_move(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        message = update.message
        if message is None:
            return
        old = message.migrate_from_chat_id or message.chat_id
        new = message.migrate_to_chat_id or message.chat_id
        await moves.move(db, pseudonyms.chat(old), pseudonyms.chat(new))

    return [MessageHandler(filters.StatusUpdate.MIGRATE, on_move)]
