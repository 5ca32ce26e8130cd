"""What people do with their own data: /mydata and /forget. Unpacks and calls the services.

Consent: /optin, /optout, /privacy and the buttons. A consent is for one person and chat.

/report, and the buttons by which admins decide. Unpacks and calls the service; decisions go into the audit.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.i18n import CONSENT_TEXT_VERSION, language_of, say
from bot.messaging.confirmations import Confirmations
from bot.messaging.keyboards import consent_buttons
from bot.messaging.messenger import patiently
from bot.moderation.reports import Reports
from bot.privacy.consent import Consent
from bot.privacy.data_export import MyData
from bot.privacy.erasure import Erasure
from bot.telegram.handlers.admin import Guard
from bot.telegram.message import address_of, answer, ask_first, incoming, pressed, toast
from bot.telegram.sender import Delivery


def own_data_handlers(
    my_data: MyData, erasure: Erasure, confirmations: Confirmations, delivery: Delivery
) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the two commands."""

    async def on_my_data(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        if not message.is_private:
            raise Refusal("mydata-private")
        document = await my_data.document(message.request.person_id)
        caption = say(message.language, "mydata-done")
        await patiently(lambda: delivery.send_file(address_of(message), document, name="mydata.json", caption=caption))

    async def on_forget(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            forget = partial(erasure.forget, message.request.person_id)
            await ask_first(delivery, confirmations, message, forget, "forget-confirm")

    return [
        CommandHandler("mydata", on_my_data, filters=filters.UpdateType.MESSAGE),
        CommandHandler("forget", on_forget, filters=filters.UpdateType.MESSAGE),
    ]


Choice = Callable[[int, int, datetime], Awaitable[str]]
"""A person's id, a chat's id and the moment; returns the id of the sentence to answer with."""


def consent_handlers(
    consent: Consent, delivery: Delivery, *, contact: str, days: int
) -> list[BaseHandler[Any, Any, Any]]:
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


def report_handlers(reports: Reports, delivery: Delivery, guard: Guard) -> list[BaseHandler[Any, Any, Any]]:
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
