"""/duel: two texts for one prompt, and 🏆 under the better one. Unpacks and calls the services."""

from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.kinds import Kinds
from bot.feedback.feedback import Feedback
from bot.generation.studio import Studio
from bot.telegram.incoming import incoming, pressed, toast


def handlers(studio: Studio, feedback: Feedback, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and the button."""

    async def on_duel(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        kind, topic = kinds.named_first(message.argument)
        if not topic.strip():
            raise Refusal("duel-usage")
        await studio.write(message.request, kind, topic, texts=2)

    async def on_better(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is None:
            return
        consented = await feedback.choose(
            chat_id=query.message.chat.id,
            message_id=query.message.message_id,
            person_id=query.from_user.id,
            generation_id=generation,
            at=datetime.now(UTC),
        )
        await toast(query, "duel-thanks" if consented else "duel-thanks-no-consent")

    return [
        CommandHandler("duel", on_duel, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_better, pattern=r"^better:\d{1,18}$"),
    ]
