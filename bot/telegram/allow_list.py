"""Who may use the bot: everybody, or whom ALLOWED_IDS and ALLOWED_CHATS name, and in any case its admins.

It is asked before an update is stored, so that nothing of anybody else is kept. They are told so once in a while, and
groups and channels that the bot is not for are left. Who has something here from before keeps their rights to it:
/privacy, /mydata, /optout and /forget.
"""

import logging
import re
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cachetools import TTLCache
from telegram import Bot, Chat, ChatMemberUpdated, Message, Update
from telegram.constants import ChatMemberStatus

from bot.common.errors import DeliveryError
from bot.common.i18n import language_of, say
from bot.common.keys import Pseudonyms
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.common.tasks import BackgroundTasks
from bot.messaging.alerts import AdminAlerts
from bot.messaging.messenger import Address
from bot.telegram.message import address_of, command_in, is_ours, toast, without_mention
from bot.telegram.sender import Sender
from storage.db.database import Database
from storage.privacy import erasure

logger = logging.getLogger(__name__)

TOLD_AGAIN_SECONDS = 24 * 3600.0
"""A chat reads the sentence this often."""
WAITS_AGAIN_SECONDS = 30.0
"""Who presses a button or types behind the bot's name waits for an answer, and gets one this often."""

_MOST_REMEMBERED = 10_000
_MOST_AT_ONCE = 100
_OUTSIDE = (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)
_RIGHTS = ("privacy", "developer_info", "mydata", "optout", "forget")
_BUTTONS_OF_RIGHTS = re.compile(r"optout:\d{1,9}|(yes|no):[\w-]{16}")
"""To withdraw a consent, and to answer what /forget asks."""


def _memory(seconds: float) -> TTLCache[object, bool]:
    return TTLCache(_MOST_REMEMBERED, seconds)


@dataclass(kw_only=True, eq=False)
class AllowList:
    """Admits updates or turns them away."""

    settings: Settings
    bot: Bot
    sender: Sender
    alerts: AdminAlerts
    metrics: BotMetrics
    db: Database
    pseudonyms: Pseudonyms
    turned_away: int = field(default=0, init=False)
    """Updates since the start; what people say among themselves does not count."""
    _moved: set[int] = field(default_factory=set, init=False)
    """Allowed groups that have become supergroups, by their new ids."""
    _told: TTLCache[object, bool] = field(default_factory=lambda: _memory(TOLD_AGAIN_SECONDS), init=False)
    _answered: TTLCache[object, bool] = field(default_factory=lambda: _memory(WAITS_AGAIN_SECONDS), init=False)
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)

    async def admits(self, update: Update) -> bool:
        """Whether an update is to be stored and handled. Whoever sent another is told so in the background.

        Raises:
            StorageError: the database does not say whether somebody has something here.
        """
        if self.settings.is_open:
            return True
        person, chat, message = update.effective_user, update.effective_chat, update.message
        if self._is_allowed(update) or await self._asks_for_own_data(update):
            if update.my_chat_member is None or self._can_be_used(update.my_chat_member.chat):
                return True
            self._once(self._told, update.my_chat_member.chat.id, self._ask_for_number(update.my_chat_member))
            return False
        if chat is not None and self._is_to_be_left(chat, update):
            self._once(self._answered, chat.id, self._leave(chat, update))
        elif person is not None and (update.callback_query or update.inline_query):
            self._once(self._answered, person.id, self._answer(person.id, update))
        elif message is not None and self._is_addressed(message):
            self._once(self._told, message.chat_id, self._reply(message))
        elif message or update.edited_message or update.edited_channel_post or update.my_chat_member:
            return False
        self.turned_away += 1
        self.metrics.turned_away.inc()
        return False

    async def close(self) -> None:
        """Leave untold who is not told yet."""
        await self._tasks.close()

    def _is_allowed(self, update: Update) -> bool:
        person, chat, message = update.effective_user, update.effective_chat, update.message
        if person is not None and person.id in (*self.settings.admin_ids, *self.settings.allowed_ids):
            return True
        if chat is None:
            return False
        if message is not None and (message.migrate_to_chat_id or message.migrate_from_chat_id):
            self._follow(message.migrate_from_chat_id or chat.id, message.migrate_to_chat_id or chat.id)
        return self._is_listed(chat)

    def _is_listed(self, chat: Chat) -> bool:
        return chat.id in self.settings.allowed_chats or chat.id in self._moved

    def _can_be_used(self, chat: Chat) -> bool:
        """In a channel that is not on the list nobody can use the bot, for Telegram does not say who posts."""
        return chat.type != Chat.CHANNEL or self._is_listed(chat)

    def _follow(self, before: int, now: int) -> None:
        """A group has become a supergroup with another id, which Telegram tells in both."""
        if before in self.settings.allowed_chats and now not in self.settings.allowed_chats:
            self._moved.add(now)
            self.alerts.tell("alarm-chat-moved", before=str(before), now=str(now))

    async def _asks_for_own_data(self, update: Update) -> bool:
        person, message, press = update.effective_user, update.message, update.callback_query
        asks = message is not None and command_in(message, self.bot) in _RIGHTS
        if press is not None and press.data is not None:
            asks = _BUTTONS_OF_RIGHTS.fullmatch(press.data) is not None
        return asks and person is not None and await erasure.has_data(self.db, self.pseudonyms.person(person.id))

    def _is_to_be_left(self, chat: Chat, update: Update) -> bool:
        """Whether the bot is not for a group or channel, or somebody brings it there who may not."""
        change = update.my_chat_member
        if chat.type == Chat.PRIVATE or (change is not None and change.new_chat_member.status in _OUTSIDE):
            return False
        is_brought = change is not None and change.old_chat_member.status in _OUTSIDE
        return is_brought or bool(self.settings.allowed_chats)

    def _is_addressed(self, message: Message) -> bool:
        if message.chat.type == Chat.PRIVATE or is_ours(message.reply_to_message, self.bot):
            return True
        return command_in(message, self.bot) is not None or without_mention(message, self.bot)[1]

    def _once(self, memory: TTLCache[object, bool], who: int, tell: Coroutine[Any, Any, None]) -> None:
        """Tell, unless it was done a short while ago, or many are being told."""
        if who in memory or len(self._tasks) >= _MOST_AT_ONCE:
            tell.close()
        else:
            memory[who] = True
            self._tasks.start(tell, name="turning somebody away")

    async def _reply(self, message: Message) -> None:
        sentence = "not-allowed" if message.chat.type == Chat.PRIVATE else "not-allowed-chat"
        language = language_of(message.from_user.language_code if message.from_user else None)
        with suppress(DeliveryError):
            await self.sender.send(address_of(message), say(language, sentence, number=str(message.chat_id)))

    async def _ask_for_number(self, change: ChatMemberUpdated) -> None:
        """Tell somebody who is allowed, and has brought the bot to a channel, what to put on the list."""
        if change.new_chat_member.status not in _OUTSIDE:
            words = say(language_of(change.from_user.language_code), "not-allowed-chat", number=str(change.chat.id))
            with suppress(DeliveryError):
                await self.sender.send(Address(chat_id=change.from_user.id), words)

    async def _answer(self, person_id: int, update: Update) -> None:
        if update.callback_query is not None:
            await toast(update.callback_query, "not-allowed", show_alert=True, number=str(person_id))
        elif update.inline_query is not None:
            language = language_of(update.inline_query.from_user.language_code)
            with suppress(DeliveryError):
                await self.sender.offer(update.inline_query.id, (), say(language, "inline-not-allowed"))

    async def _leave(self, chat: Chat, update: Update) -> None:
        """Say why, and go; of a channel only to whoever has brought the bot there, or all subscribers would read it."""
        person, change = update.effective_user, update.my_chat_member
        to: int | None = chat.id
        if chat.type == Chat.CHANNEL:
            to = None if change is None else change.from_user.id
        if to is not None and chat.id not in self._told:
            self._told[chat.id] = True
            language = language_of(person.language_code if person else None)
            with suppress(DeliveryError):
                words = say(language, "not-allowed-leaving", number=str(chat.id), chat=chat.title or "")
                await self.sender.send(Address(chat_id=to), words)
        try:
            await self.sender.leave(chat.id)
            logger.info("left a %s that the bot is not for", chat.type)
        except DeliveryError as error:
            logger.warning("a %s that the bot is not for cannot be left: %s", chat.type, error)
