"""The buttons that ask for another text or stop one: 🔁, ✏️, and ⏹ while it is written. Unpacks and calls the studio."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes

from bot.incoming import pressed, toast
from bot.studio import Request, Studio
from bot.texts import language_of


def handlers(studio: Studio) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the three buttons."""

    async def on_again(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is not None:
            request = Request(
                update_id=update.update_id,
                person_id=query.from_user.id,
                chat_id=query.message.chat.id,
                message_id=query.message.message_id,
                language=language_of(query.from_user.language_code),
                thread_id=getattr(query.message, "message_thread_id", None),
            )
            await studio.again(request, generation)
            await toast(query, "again-coming")

    async def on_refine(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, _generation = pressed(update)
        await toast(query, "refine-how", show_alert=True)

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

    return [
        CallbackQueryHandler(on_again, pattern=r"^again:\d{1,18}$"),
        CallbackQueryHandler(on_refine, pattern=r"^refine:\d{1,18}$"),
        CallbackQueryHandler(on_stop, pattern=r"^stop:\d{1,18}$"),
    ]
