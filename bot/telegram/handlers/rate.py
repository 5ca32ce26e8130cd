"""Ratings by button: 👍 and 👎 under a generation, and why a 👎. Unpacks, calls the service, answers."""

from datetime import UTC, datetime
from typing import Any, Literal

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes

from bot.common.errors import Refusal
from bot.feedback.feedback import Feedback
from bot.messaging.keyboards import REASONS
from bot.telegram.incoming import pressed, toast

_REASON_OF = {str(reason): reason for reason in REASONS}


def handlers(feedback: Feedback) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the buttons."""

    async def rate(update: Update, button: Literal["up", "down"]) -> None:
        query, generation = pressed(update)
        if query.message is None:
            raise Refusal("generation-unknown")
        result = await feedback.press(
            update_id=update.update_id,
            chat_id=query.message.chat.id,
            message_id=query.message.message_id,
            person_id=query.from_user.id,
            generation_id=generation,
            button=button,
            at=datetime.now(UTC),
        )
        thanks = "rating-thanks" if result.consented else "rating-thanks-no-consent"
        if not result.may_teach:
            thanks = "rating-thanks-channel"
        await toast(query, "rating-taken-back" if result.taken_back else thanks)

    async def on_up(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        await rate(update, "up")

    async def on_down(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        await rate(update, "down")

    async def on_why(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        _why, number, reason = query.data.split(":")
        await feedback.explain(
            chat_id=query.message.chat.id,
            message_id=query.message.message_id,
            person_id=query.from_user.id,
            generation_id=int(number),
            reason=_REASON_OF[reason],
            at=datetime.now(UTC),
        )
        await toast(query, "why-thanks")

    return [
        CallbackQueryHandler(on_up, pattern=r"^up:\d{1,18}$"),
        CallbackQueryHandler(on_down, pattern=r"^down:\d{1,18}$"),
        CallbackQueryHandler(on_why, pattern=rf"^why:\d{{1,18}}:({'|'.join(_REASON_OF)})$"),
    ]
