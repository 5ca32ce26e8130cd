"""The door, before every other handler: who is shut out gets no further, with prompts, presses and reactions alike; who
has chosen a language is answered in it."""

from typing import Any

from telegram import Update
from telegram.ext import ApplicationHandlerStop, BaseHandler, ContextTypes, TypeHandler

from bot.common.errors import Refusal
from bot.common.texts import speak
from bot.generation.preferences import Preferences
from bot.moderation.doorman import Doorman
from bot.telegram.handlers.errors import ErrorHandler


def handlers(doorman: Doorman, preferences: Preferences, errors: ErrorHandler) -> list[BaseHandler[Any, Any, Any]]:
    """One handler for every update; install it in a group before all others."""

    async def on_any(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        person, chat = update.effective_user, update.effective_chat
        if person is not None and chat is not None and update.message_reaction is None:
            speak(await preferences.language(person.id, chat.id))
        sender = update.effective_sender  # a person, or a channel that posts
        if sender is None or not doorman.is_banned(sender.id):
            return
        is_private = update.message is not None and update.message.chat.type == "private"
        if update.inline_query is not None:
            await errors.refuse(update, Refusal("inline-banned"))
        elif is_private or update.callback_query is not None:
            await errors.refuse(update, Refusal("banned"))
        raise ApplicationHandlerStop

    return [TypeHandler(Update, on_any)]
