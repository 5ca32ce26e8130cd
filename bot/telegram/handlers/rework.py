"""The buttons that ask for another text or a changed one: 🔁, and ✏️ with its wishes. Unpacks and calls the services."""

from typing import Any

from telegram import CallbackQuery, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes

from bot.common.errors import Refusal
from bot.common.kinds import language_of_topic
from bot.common.texts import language_of, say
from bot.feedback.counts import Counts
from bot.generation.studio import Request, Studio
from bot.messaging.keyboards import WISHES
from bot.telegram.incoming import pressed, toast, topic_of


def handlers(studio: Studio, counts: Counts) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the buttons."""

    async def on_again(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if (request := _request(update, query)) is not None:
            await studio.again(request, generation)
            await toast(query, "again-coming")

    async def on_refine(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if (request := _request(update, query)) is not None:
            await counts.offer_wishes(generation, chat_id=request.chat_id, shown_in=request.message_id)
            await toast(query, "refine-how")

    async def on_wish(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.data is None or (request := _request(update, query)) is None:
            return
        _wish, generation, name = query.data.split(":")

        def wish(text: str) -> str:
            return say(language_of_topic(text), f"wish-{name}-words")

        if not await studio.refine(request, request.message_id, wish, generation=int(generation)):
            raise Refusal("generation-unknown")
        await toast(query, "wish-coming")

    return [
        CallbackQueryHandler(on_again, pattern=r"^again:\d{1,18}$"),
        CallbackQueryHandler(on_refine, pattern=r"^refine:\d{1,18}$"),
        CallbackQueryHandler(on_wish, pattern=rf"^wish:\d{{1,18}}:({'|'.join(WISHES)})$"),
    ]


def _request(update: Update, query: CallbackQuery) -> Request | None:
    """Who presses, as one who asks by the message that shows the text."""
    if query.message is None:
        return None
    return Request(
        update_id=update.update_id,
        person_id=query.from_user.id,
        chat_id=query.message.chat.id,
        message_id=query.message.message_id,
        language=language_of(query.from_user.language_code),
        thread_id=topic_of(query.message),
    )
