"""Consent: /optin, /optout, /privacy and the buttons. A consent is for one person and chat."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.texts import say
from bot.messaging.keyboards import CONSENT_TEXT_VERSION, consent_buttons
from bot.privacy.consent import Consent
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import answer, incoming, toast

Choice = Callable[[int, int, datetime], Awaitable[str]]
"""A person's id, a chat's id and the moment; returns the id of the sentence to answer with."""


def handlers(consent: Consent, delivery: Delivery, *, contact: str, days: int) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the commands and the buttons. `contact` answers for the bot ("": its admins), which keeps texts for
    `days` at most."""

    def command(name: str, choose: Choice) -> CommandHandler[Any, Any]:
        async def on_command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
            message = incoming(update, bot_id=context.bot.id)
            if message is not None:
                request = message.request
                text = await choose(request.person_id, request.chat_id, datetime.now(UTC))
                await answer(delivery, message, text)

        return CommandHandler(name, on_command, filters=filters.UpdateType.MESSAGE)

    async def on_privacy(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            who = contact or say(message.language, "privacy-admins")
            buttons = consent_buttons(message.language)
            await answer(delivery, message, "privacy", buttons=buttons, contact=who, days=days)
            await consent.note_asked(message.request.chat_id)

    async def on_button(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        said, version = query.data.split(":")
        person_id, chat_id, now = query.from_user.id, query.message.chat.id, datetime.now(UTC)
        if said == "optin":
            text = await consent.give(person_id, chat_id, now, text_version=min(int(version), CONSENT_TEXT_VERSION))
        else:
            text = await consent.withdraw(person_id, chat_id, now)
        await toast(query, text, show_alert=True)

    return [
        command("optin", consent.give),
        command("optout", consent.withdraw),
        CommandHandler(["privacy", "developer_info"], on_privacy, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_button, pattern=r"^(optin|optout):\d{1,9}$"),
    ]
