"""Inline mode: queries, chosen takes, and 👍 and 👎 under them. Unpacks, calls the services, answers presses."""

from datetime import UTC, datetime
from typing import Any, Literal

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ChosenInlineResultHandler, ContextTypes, InlineQueryHandler

from bot.common.errors import Refusal
from bot.common.i18n import language_of
from bot.feedback.ratings import Feedback
from bot.generation.inline import InlineQueries, Query
from bot.telegram.message import toast


def handlers(inline: InlineQueries, feedback: Feedback) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for what comes from other chats than the bot's own."""

    async def on_query(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.inline_query
        if query is not None and not query.from_user.is_bot:
            inline.ask(
                Query(
                    id=query.id,
                    update_id=update.update_id,
                    person_id=query.from_user.id,
                    language=language_of(query.from_user.language_code),
                    text=query.query,
                )
            )

    async def on_chosen(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        chosen = update.chosen_inline_result
        if chosen is not None and chosen.inline_message_id is not None:
            await inline.chosen(chosen.result_id, chosen.inline_message_id)

    async def on_press(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.data is None:
            return
        if query.inline_message_id is None:
            raise Refusal("generation-unknown")
        button, number, token = query.data.split(":")
        up_or_down: Literal["up", "down"] = "up" if button == "up" else "down"
        result = await feedback.press_offered(
            update_id=update.update_id,
            shown_in=query.inline_message_id,
            person_id=query.from_user.id,
            generation_id=int(number),
            token=token,
            button=up_or_down,
            at=datetime.now(UTC),
        )
        thanks = "rating-thanks" if result.consented else "rating-thanks-inline"
        await toast(query, "rating-taken-back" if result.taken_back else thanks)

    return [
        InlineQueryHandler(on_query),
        ChosenInlineResultHandler(on_chosen),
        CallbackQueryHandler(on_press, pattern=r"^(up|down):\d{1,18}:[\w-]{1,40}$"),
    ]
