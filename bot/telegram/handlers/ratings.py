"""Ratings by button: 👍 and 👎 under a generation, and why a 👎. Unpacks, calls the service, answers.

Emoji reactions: a person's, somebody's without a name, and those that Telegram only counts.

Reactions on the message of a /check are for that one, and no ratings. Unpacks and calls the services.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from telegram import ReactionType, ReactionTypeEmoji, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes, MessageReactionHandler

from bot.common.errors import Refusal
from bot.feedback.ratings import Feedback
from bot.feedback.reaction_test import ReactionTest
from bot.messaging.keyboards import REASONS
from bot.telegram.message import pressed, toast

_REASON_OF = {str(reason): reason for reason in REASONS}


def button_handlers(feedback: Feedback) -> list[BaseHandler[Any, Any, Any]]:
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


def reaction_handlers(feedback: Feedback, reaction_test: ReactionTest) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for reactions, and one for their totals."""

    async def on_reaction(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        reaction = update.message_reaction
        if reaction is None or reaction_test.reacted(chat_id=reaction.chat.id, message_id=reaction.message_id):
            return
        where = {"update_id": update.update_id, "chat_id": reaction.chat.id, "message_id": reaction.message_id}
        old, new = _emojis(reaction.old_reaction), _emojis(reaction.new_reaction)
        if reaction.user is None:
            await feedback.react_unnamed(**where, before=old, after=new)
        elif not reaction.user.is_bot:
            await feedback.react(**where, person_id=reaction.user.id, emojis=new, at=reaction.date)

    async def on_count(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        count = update.message_reaction_count
        if count is not None:
            kinds = [(each.type, each.total_count) for each in count.reactions]
            await feedback.count(
                update_id=update.update_id,
                chat_id=count.chat.id,
                message_id=count.message_id,
                totals={kind.emoji: times for kind, times in kinds if isinstance(kind, ReactionTypeEmoji)},
                at=count.date,
            )

    return [
        MessageReactionHandler(on_reaction, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_UPDATED),
        MessageReactionHandler(on_count, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_COUNT_UPDATED),
    ]


def _emojis(reactions: Sequence[ReactionType]) -> tuple[str, ...]:
    """Those of Telegram's own; custom and paid ones say nothing to us."""
    return tuple(kind.emoji for kind in reactions if isinstance(kind, ReactionTypeEmoji))
