"""Ratings: emoji reactions and the buttons under a generation, and ⏹ under one that is being written. Unpacks, calls a service, answers presses."""

from datetime import UTC, datetime
from typing import Any, Literal

from telegram import CallbackQuery, ReactionTypeEmoji, Update
from telegram.ext import BaseHandler, CallbackQueryHandler, ContextTypes, MessageReactionHandler

from bot.feedback import Feedback
from bot.incoming import toast
from bot.studio import Request, Studio
from bot.texts import language_of, say


def handlers(feedback: Feedback, studio: Studio) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for reactions and for the five buttons."""

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

    async def on_again(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = _pressed(update)
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
            await _toast(query, "again-coming")

    async def on_refine(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, _generation = _pressed(update)
        await _toast(query, "refine-how", show_alert=True)

    async def on_stop(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = _pressed(update)
        if query.message is not None:
            is_stopped = await studio.stop(
                generation,
                shown_in=query.message.message_id,
                chat_id=query.message.chat.id,
                person_id=query.from_user.id,
            )
            await _toast(query, "stopped" if is_stopped else "orphan-removed")

    async def rate(update: Update, button: Literal["up", "down"]) -> None:
        query, generation = _pressed(update)
        if query.message is None:
            return
        result = await feedback.press(
            update_id=update.update_id,
            chat_id=query.message.chat.id,
            person_id=query.from_user.id,
            generation_id=generation,
            button=button,
            at=datetime.now(UTC),
        )
        thanks = "rating-thanks" if result.consented else "rating-thanks-no-consent"
        await _toast(query, "rating-taken-back" if result.taken_back else thanks)

    async def on_up(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        await rate(update, "up")

    async def on_down(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        await rate(update, "down")

    return [
        MessageReactionHandler(on_reaction, message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_UPDATED),
        CallbackQueryHandler(on_up, pattern=r"^up:\d{1,18}$"),
        CallbackQueryHandler(on_down, pattern=r"^down:\d{1,18}$"),
        CallbackQueryHandler(on_again, pattern=r"^again:\d{1,18}$"),
        CallbackQueryHandler(on_refine, pattern=r"^refine:\d{1,18}$"),
        CallbackQueryHandler(on_stop, pattern=r"^stop:\d{1,18}$"),
    ]


def _pressed(update: Update) -> tuple[CallbackQuery, int]:
    """The query, and the generation that its button names; the handlers' patterns have checked the form."""
    query = update.callback_query
    assert query is not None and query.data is not None, "a callback handler gets callback queries with data"
    return query, int(query.data.partition(":")[2])


async def _toast(query: CallbackQuery, text: str, *, show_alert: bool = False) -> None:
    await toast(query, say(language_of(query.from_user.language_code), text), show_alert=show_alert)
