"""Ratings: 👍 and 👎 under a generation, why a 👎, and emoji reactions."""

from dataclasses import dataclass
from typing import get_args

from telegram import ReactionTypeEmoji, Update
from telegram.ext import ContextTypes, MessageReactionHandler

from bot.feedback.ratings import Feedback
from bot.feedback.reaction_test import ReactionTest
from bot.telegram.message import Handler, Press, button, emojis_of
from storage.db.records import DislikeReason

_REASONS: dict[str, DislikeReason] = {reason: reason for reason in get_args(DislikeReason)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingHandlers:
    """Presses of the rating buttons; reactions of people and of unnamed senders; totals of reactions."""

    feedback: Feedback
    reaction_test: ReactionTest

    def handlers(self) -> list[Handler]:
        """In any order."""
        return [
            button(r"^(up|down):\d{1,18}$", self._rate),
            button(rf"^why:\d{{1,18}}:({'|'.join(_REASONS)})$", self._explain),
            MessageReactionHandler(self._react, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_UPDATED),
            MessageReactionHandler(
                self._count, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_COUNT_UPDATED
            ),
        ]

    async def _rate(self, press: Press) -> None:
        by = press.by
        result = await self.feedback.press(
            press.generation, "up" if press.name == "up" else "down", update_id=by.update_id, chat_id=by.chat_id,
            message_id=by.message_id, person_id=by.person_id,
        )  # fmt: skip
        thanks = "rating-thanks" if result.consented else "rating-thanks-no-consent"
        if not result.may_teach:
            thanks = "rating-thanks-channel"
        await press.toast("rating-taken-back" if result.taken_back else thanks)

    async def _explain(self, press: Press) -> None:
        by, reason = press.by, _REASONS[press.values[1]]
        await self.feedback.explain(
            press.generation, reason, chat_id=by.chat_id, message_id=by.message_id, person_id=by.person_id
        )
        await press.toast("why-thanks")

    async def _react(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """A change of somebody's reactions; on the message of a /check they are for that test, and no ratings."""
        reaction = update.message_reaction
        if reaction is None or self.reaction_test.reacted(chat_id=reaction.chat.id, message_id=reaction.message_id):
            return
        where = {"update_id": update.update_id, "chat_id": reaction.chat.id, "message_id": reaction.message_id}
        old, new = emojis_of(reaction.old_reaction), emojis_of(reaction.new_reaction)
        if reaction.user is None:
            await self.feedback.react_unnamed(**where, before=old, after=new)
        elif not reaction.user.is_bot:
            await self.feedback.react(**where, person_id=reaction.user.id, emojis=new, at=reaction.date)

    async def _count(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """The totals under a message in a chat where Telegram does not say who reacts."""
        count = update.message_reaction_count
        if count is not None:
            kinds = [(each.type, each.total_count) for each in count.reactions]
            await self.feedback.count(
                update_id=update.update_id,
                chat_id=count.chat.id,
                message_id=count.message_id,
                totals={kind.emoji: times for kind, times in kinds if isinstance(kind, ReactionTypeEmoji)},
                at=count.date,
            )
