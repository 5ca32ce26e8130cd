"""/settings and its buttons, which change in place. Unpacks, calls the service, shows what holds now."""

from datetime import UTC, datetime
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from bot.common.texts import language_of, say, speak
from bot.generation.preferences import Preferences
from bot.learning.taste import OWN_TASTE
from bot.messaging.messenger import patiently
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import answer, incoming, toast


def handlers(preferences: Preferences, delivery: Delivery) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the command and its buttons."""

    async def on_settings(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            request = message.request
            buttons = await preferences.buttons(request.person_id, request.chat_id, message.language)
            await answer(delivery, message, "settings", buttons=buttons)

    async def on_choice(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None or query.message is None or query.data is None:
            return
        chat_id, message_id, person_id = query.message.chat.id, query.message.message_id, query.from_user.id
        _set, name, value, owner = query.data.split(":")
        await preferences.choose(person_id, chat_id, name, value, owner=owner, at=datetime.now(UTC))
        speak(await preferences.language(person_id, chat_id))
        await toast(query, f"settings-own-taste-{value}" if name == OWN_TASTE else "settings-changed")
        language = language_of(query.from_user.language_code)
        buttons = await preferences.buttons(person_id, chat_id, language)
        await patiently(lambda: delivery.edit(chat_id, message_id, say(language, "settings"), buttons))

    return [
        CommandHandler("settings", on_settings, filters=filters.UpdateType.MESSAGE),
        CallbackQueryHandler(on_choice, pattern=r"^set:[a-z_]{1,16}:[a-z]{1,12}:[0-9a-f]{12}$"),
    ]
