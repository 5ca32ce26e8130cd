"""/report, and the buttons by which admins decide. Unpacks and calls the service; decisions go into the audit."""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.texts import language_of, say
from bot.messaging.messenger import patiently
from bot.moderation.reports import Reports
from bot.telegram.delivery import Delivery
from bot.telegram.handlers.guard import Guard
from bot.telegram.incoming import answer, incoming, pressed, toast


def handlers(reports: Reports, delivery: Delivery, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and the admins' buttons."""

    async def on_report(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            request = message.request
            await answer(
                delivery, message, await reports.report(request.person_id, request.chat_id, message.replies_to)
            )

    async def on_decision(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query, generation = pressed(update)
        if query.message is None or query.data is None:
            return
        if not guard.knows(query.from_user.id):
            raise Refusal("admin-only")
        shows = query.data.startswith("clear:")
        await reports.decide(generation, shows=shows)
        await guard.record(query.from_user.id, "clear" if shows else "hide", f"#{generation}")
        words = say(
            language_of(query.from_user.language_code),
            "report-cleared" if shows else "report-kept",
            generation=str(generation),
        )
        chat_id, message_id = query.message.chat.id, query.message.message_id
        await toast(query, "confirm-heard")
        await patiently(lambda: delivery.edit(chat_id, message_id, words))

    return [
        CommandHandler("report", on_report, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_decision, pattern=r"^(clear|hide):\d{1,18}$"),
    ]
