"""/settings and its buttons, which change in place. Unpacks, calls the service, shows what holds now."""

from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.delivery import Delivery
from bot.incoming import answer, incoming, toast
from bot.messenger import patiently
from bot.preferences import Preferences
from bot.texts import language_of


def handlers(preferences: Preferences, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and its buttons."""

    async def on_settings(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            request = message.request
            buttons = await preferences.buttons(request.person_id, request.chat_id, message.language)
            await answer(delivery, message, "settings", buttons=buttons)

    async def on_own_taste(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        chat_id, message_id, person_id = query.message.chat.id, query.message.message_id, query.from_user.id
        _set, _name, state, owner = query.data.split(":")
        is_on = state == "on"
        await preferences.choose_own_taste(person_id, chat_id, owner=owner, is_on=is_on, at=datetime.now(UTC))
        await toast(query, "settings-own-taste-on" if is_on else "settings-own-taste-off")
        buttons = await preferences.buttons(person_id, chat_id, language_of(query.from_user.language_code))
        await patiently(lambda: delivery.edit_buttons(chat_id, message_id, buttons))

    return [
        CommandHandler("settings", on_settings, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_own_taste, pattern=r"^set:own_taste:(on|off):[0-9a-f]{12}$"),
    ]
