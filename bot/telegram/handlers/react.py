"""Emoji reactions: a person's, somebody's without a name, and those that Telegram only counts.

Reactions on the message of a /check are for that one, and no ratings. Unpacks and calls the services.
"""

from collections.abc import Sequence
from typing import Any

from telegram import ReactionType, ReactionTypeEmoji, Update
from telegram.ext import BaseHandler, ContextTypes, MessageReactionHandler

from bot.feedback.feedback import Feedback
from bot.feedback.live_check import LiveCheck


def handlers(feedback: Feedback, live_check: LiveCheck) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for reactions, and one for their totals."""

    async def on_reaction(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        reaction = update.message_reaction
        if reaction is None or live_check.reacted(chat_id=reaction.chat.id, message_id=reaction.message_id):
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
