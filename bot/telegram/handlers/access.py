"""What comes before and after every other handler: bans and the chosen language first; what a handler raises last.

A refusal is answered with its sentence; what the disk refused is put off; anything else is logged, given up, and
apologised for. No exception's own words ever reach a person, and nobody is told the same thing again and again.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field

from cachetools import TTLCache
from telegram import Update
from telegram.ext import ApplicationHandlerStop, ContextTypes, TypeHandler

from bot.common.errors import DeliveryError, PutOff, Refusal
from bot.common.i18n import language_of, say
from bot.common.kinds import language_of_topic
from bot.common.metrics import BotMetrics
from bot.generation.preferences import Preferences
from bot.messaging.alerts import AdminAlerts
from bot.moderation.enforcement import Bans
from bot.telegram.inbox import Inbox
from bot.telegram.message import Handler, address_of, toast
from bot.telegram.sender import Sender
from storage.db.errors import StorageError

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 30.0
MAX_REPEATS = 2
"""A person who floods a chat reads the same refusal so often in so long; the rest are dropped without a word."""


def handlers(bans: Bans, preferences: Preferences, errors: "ErrorHandler") -> list[Handler]:
    """One handler for every update; install it in a group before all others."""

    async def on_any(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        person, chat = update.effective_user, update.effective_chat
        if person is not None and chat is not None and update.message_reaction is None:
            await preferences.apply(person.id, chat.id)
        sender = update.effective_sender  # a person, or a channel that posts
        if sender is None or not bans.is_banned(sender.id):
            return
        is_private = update.message is not None and update.message.chat.type == "private"
        if update.inline_query is not None:
            await errors.refuse(update, Refusal("inline-banned"))
        elif is_private or update.callback_query is not None:
            await errors.refuse(update, Refusal("banned"))
        raise ApplicationHandlerStop

    return [TypeHandler(Update, on_any)]


@dataclass(kw_only=True, eq=False)  # the library wants a callable with a hash
class ErrorHandler:
    """Awaited by python-telegram-bot with every exception that a handler lets out."""

    inbox: Inbox
    sender: Sender
    alerts: AdminAlerts
    metrics: BotMetrics
    _told: TTLCache[object, int] = field(default_factory=lambda: TTLCache(10_000, REPEAT_SECONDS), init=False)
    """For (chat, person, refusal), how often it was read."""

    async def __call__(self, update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Answer a refusal, put off what the disk refused, give up what is broken."""
        error = context.error
        if not isinstance(update, Update):
            logger.error("something failed outside of any update", exc_info=error)
        elif isinstance(error, Refusal):
            await self.refuse(update, error)
        elif isinstance(error, PutOff):
            self.inbox.defer(update)
        elif isinstance(error, StorageError):
            logger.warning("update %d is put off: %s", update.update_id, error)
            self.inbox.defer(update)
        elif isinstance(error, DeliveryError):
            logger.warning("the answer to update %d cannot be shown: %s", update.update_id, error)
        else:
            logger.error("update %d could not be handled", update.update_id, exc_info=error)
            try:
                await self.alerts.give_up(update.update_id, type(error).__name__)
            except StorageError:
                self.inbox.defer(update)
            await self._say(update, "error", {})

    async def refuse(self, update: Update, refusal: Refusal) -> None:
        """Say why not, unless the same person has just read the same here again and again."""
        self.metrics.refused.inc()
        user, chat = update.effective_user, update.effective_chat
        key = (chat.id if chat else 0, user.id if user else 0, f"{refusal.text} {refusal.values}")
        times = self._told.get(key, 0)
        waits = update.callback_query is not None or update.inline_query is not None
        if times >= MAX_REPEATS and not waits:
            return
        self._told[key] = times + 1
        await self._say(update, refusal.text, refusal.values)

    async def _say(self, update: Update, text: str, values: dict[str, str | int]) -> None:
        user, message, query = update.effective_user, update.message or update.channel_post, update.callback_query
        language = language_of(user.language_code if user else None)
        if message is not None and message.sender_chat is not None:
            language = language_of_topic(message.text or "")  # whoever that is, Telegram does not tell
        if query is not None:
            await toast(query, text, show_alert=True, **values)
            return
        sentence = say(language, text, **values)
        if update.inline_query is not None:
            with suppress(DeliveryError):
                await self.sender.offer(update.inline_query.id, (), sentence)
        elif message is not None:
            try:
                await self.sender.send(address_of(message), sentence)
            except DeliveryError as again:
                logger.warning("a sentence could not be shown: %s", type(again).__name__)
