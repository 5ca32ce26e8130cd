"""Ratings: emoji reactions, 👍 and 👎 under a generation, and why a 👎. Unpacks, calls the service, answers."""

from datetime import UTC, datetime
from typing import Any, Literal

from telegram import ReactionTypeEmoji, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes, MessageReactionHandler

from bot.errors import Refusal
from bot.feedback import Feedback
from bot.incoming import pressed, toast
from bot.keyboards import REASONS

_REASON_OF = {str(reason): reason for reason in REASONS}


def handlers(feedback: Feedback) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for reactions and for the buttons."""

    async def on_reaction(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        reaction = update.message_reaction
        if reaction is None or reaction.user is None or reaction.user.is_bot:
            return  # an anonymous reaction has no rater
        await feedback.react(
            update_id=update.update_id,
            chat_id=reaction.chat.id,
            message_id=reaction.message_id,
            person_id=reaction.user.id,
            emojis=[kind.emoji for kind in reaction.new_reaction if isinstance(kind, ReactionTypeEmoji)],
            at=reaction.date,
        )

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
        MessageReactionHandler(on_reaction, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_UPDATED),
        CallbackQueryHandler(on_up, pattern=r"^up:\d{1,18}$"),
        CallbackQueryHandler(on_down, pattern=r"^down:\d{1,18}$"),
        CallbackQueryHandler(on_why, pattern=rf"^why:\d{{1,18}}:({'|'.join(_REASON_OF)})$"),
    ]
