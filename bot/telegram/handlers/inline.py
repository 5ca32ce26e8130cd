"""Inline mode: queries, chosen texts, and 👍 and 👎 under them."""

from dataclasses import dataclass

from telegram import Update
from telegram.ext import CallbackQueryHandler, ChosenInlineResultHandler, ContextTypes, InlineQueryHandler

from bot.common.errors import Refusal
from bot.common.i18n import language_of
from bot.feedback.ratings import Feedback
from bot.generation.inline import InlineQueries, Query
from bot.telegram.message import Handler, toast


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineHandlers:
    """What comes from other chats than the bot's own."""

    inline: InlineQueries
    feedback: Feedback

    def handlers(self) -> list[Handler]:
        """In any order."""
        return [
            InlineQueryHandler(self._query),
            ChosenInlineResultHandler(self._choose),
            CallbackQueryHandler(self._rate, pattern=r"^(up|down):\d{1,18}:[\w-]{1,40}$"),
        ]

    async def _query(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.inline_query
        if query is not None and not query.from_user.is_bot:
            self.inline.ask(
                Query(
                    id=query.id,
                    update_id=update.update_id,
                    person_id=query.from_user.id,
                    language=language_of(query.from_user.language_code),
                    text=query.query,
                )
            )

    async def _choose(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        chosen = update.chosen_inline_result
        if chosen is not None and chosen.inline_message_id is not None:
            await self.inline.chosen(chosen.result_id, chosen.inline_message_id)

    async def _rate(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """👍 or 👎; an inline message has no chat, so this is no `Press`."""
        query = update.callback_query
        if query is None or query.data is None:
            return
        if query.inline_message_id is None:
            raise Refusal("generation-unknown")
        name, number, token = query.data.split(":")
        result = await self.feedback.press_inline(
            int(number), token, "up" if name == "up" else "down", update_id=update.update_id,
            shown_in=query.inline_message_id, person_id=query.from_user.id,
        )  # fmt: skip
        thanks = "rating-thanks" if result.consented else "rating-thanks-inline"
        await toast(query, "rating-taken-back" if result.taken_back else thanks)
