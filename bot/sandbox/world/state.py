"""What exists in the world, and who is told of a change. People's rules are in `world`, the bot's in `api`."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar

from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import (
    Attachment,
    BotStatus,
    ButtonAnswer,
    Chat,
    ChatKind,
    Command,
    Event,
    EventKind,
    InlineAnswer,
    Json,
    Keyboard,
    Person,
    SeenMessage,
    Service,
)
from bot.sandbox.world.text import Formatted
from bot.sandbox.world.updates import UpdateQueue

Found = TypeVar("Found")

ANY_LANGUAGE = ""
_LOOK_AGAIN_SECONDS = 0.1
_BACKLOG = 2000
"""Events kept for a slow listener; one that is further behind misses the oldest."""


def now() -> datetime:
    """This moment in whole seconds, UTC, as Telegram dates things."""
    return datetime.now(UTC).replace(microsecond=0)


class EventBus:
    """Hands events to listeners and wakes those who wait. Lives in one event loop."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._waiters: set[asyncio.Future[None]] = set()

    def publish(self, event: Event) -> None:
        """Tell everybody; never blocks."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
        self.nudge()

    def nudge(self) -> None:
        """Let those who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event]]:
        """A queue that gets every event published from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(_BACKLOG)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def until(self, check: Callable[[], Found | None], timeout_seconds: float) -> Found:
        """The first truthy value of `check`, tried now, after every event and at least every 0.1 s.

        The latter serves checks of things outside the world, such as what a handler has noted down.

        Raises:
            TimeoutError: it did not come true in time.
        """
        async with asyncio.timeout(timeout_seconds):
            while not (found := check()):
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await asyncio.wait((waiter,), timeout=_LOOK_AGAIN_SECONDS)
                finally:
                    self._waiters.discard(waiter)
            return found


@dataclass(slots=True)
class ChatState:
    """The inside of one chat: its messages by id in order, its people by id, and the bot's standing in it.

    `numbers` gives the next message id. Private chats and basic groups share one sequence, as in Telegram.
    """

    chat: Chat
    numbers: Iterator[int]
    bot_status: BotStatus = "member"
    members: dict[int, Person] = field(default_factory=dict)
    admins: set[int] = field(default_factory=set)
    messages: dict[int, SeenMessage] = field(default_factory=dict)
    migrated_to: int | None = None
    reactions: tuple[str, ...] | None = None
    """Those that its admins allow; None allows all of Telegram's."""
    may_post: bool = True
    """In a channel: whether the bot has the right to."""
    is_started: bool = False
    """In a private chat: whether the person ever wrote; before that the bot must not."""

    @property
    def bot_sees_all(self) -> bool:
        """Whether every message and reaction here reaches the bot."""
        return self.chat.is_private or self.bot_status == "administrator"

    @property
    def bot_is_here(self) -> bool:
        """Whether the bot is in the chat at all."""
        return self.bot_status in ("administrator", "member")

    def has_topic(self, number: int) -> bool:
        """Whether a topic began with this message."""
        first = self.messages.get(number)
        return first is not None and first.service is not None and first.service.kind == "forum_topic_created"

    def thread_of(self, reply_to: int | None) -> int | None:
        """Where a reply belongs if nothing else is said: to the thread of what it replies to."""
        replied = self.messages.get(reply_to or 0)
        if replied is None or self.chat.kind != "supergroup":
            return None
        return replied.thread if self.chat.is_forum else replied.thread or replied.id


@dataclass(slots=True)
class Menus:
    """What the bot says about itself, by language: its commands, its description, its short description."""

    commands: dict[tuple[str, int, str], tuple[Command, ...]] = field(default_factory=dict)
    """Keyed by scope, chat id (0 but for the scope "chat") and language."""
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Keyed by what it is and language."""

    def commands_for(self, chat: Chat, language: str) -> tuple[Command, ...]:
        """The menu in this chat: of the narrowest scope, and there first in the person's language.

        As in the Bot API's "Determining list of commands", for the scopes that the bot sets.
        """
        scopes = [("chat", chat.id), *([] if chat.is_private else [("all_group_chats", 0)]), ("default", 0)]
        for scope, chat_id in scopes:
            for code in (language, ANY_LANGUAGE):
                if found := self.commands.get((scope, chat_id, code)):
                    return found
        return ()

    def text(self, name: str, language: str) -> str:
        """A description in the language, else the one for all languages, else empty."""
        return self.texts.get((name, language)) or self.texts.get((name, ANY_LANGUAGE), "")


class State:
    """People, chats, files, menus, waiting updates and listeners."""

    def __init__(self, bot: Person, *, clock: Callable[[], datetime] = now) -> None:
        self.bot = bot
        self.token = f"{bot.id}:{secrets.token_urlsafe(26)}"
        """The bot's, another in every world: nothing else on this machine can then be the bot, such as a page that a
        browser shows."""
        self.clock = clock
        self.privacy_mode = True
        """The bot's group privacy, on as with a new bot."""
        self.people: dict[int, Person] = {}
        self.chats: dict[int, ChatState] = {}
        self.updates = UpdateQueue(clock)
        self.events = EventBus()
        self.menus = Menus()
        self.files: dict[str, tuple[Attachment, bytes]] = {}
        self.queries: dict[str, asyncio.Future[ButtonAnswer]] = {}
        self.inline_queries: dict[str, asyncio.Future[InlineAnswer]] = {}
        self.inline_feedback = True
        """Whether the bot is told which results are chosen, as its owner has told BotFather."""
        self.inline_messages: dict[str, tuple[int, int]] = {}
        """Where the messages with an inline id are: (chat id, message id)."""
        self._group_ids = itertools.count(4_000_001)
        self._shared_numbers = itertools.count(1)

    def open_private(self, person: Person) -> Chat:
        """The person's chat with the bot, made when first asked for."""
        if person.id not in self.chats:
            chat = Chat(person.id, "private", person.name)
            self.chats[chat.id] = ChatState(chat, self._shared_numbers, members={person.id: person})
            self.publish("chat", chat)
        return self.chats[person.id].chat

    def open_group(self, title: str, kind: ChatKind, *, bot_admin: bool, is_forum: bool = False) -> Chat:
        """A new group, supergroup or channel; basic groups number messages with the private chats."""
        number = next(self._group_ids)
        chat = Chat(-number if kind == "group" else -1_000_000_000_000 - number, kind, title, is_forum)
        numbers = self._shared_numbers if kind == "group" else itertools.count(1)
        self.chats[chat.id] = ChatState(chat, numbers, "administrator" if bot_admin else "member", is_started=True)
        self.publish("chat", chat)
        return chat

    def of(self, chat: Chat | int) -> ChatState:
        """The inside of a chat."""
        chat_id = chat if isinstance(chat, int) else chat.id
        if chat_id not in self.chats:
            raise WorldError(f"There is no chat {chat_id}; make it with private_chat or add_group.")
        return self.chats[chat_id]

    def chats_of(self, person: Person) -> list[ChatState]:
        """The chats this person is in, oldest first, without groups that moved to a supergroup."""
        return [each for each in self.chats.values() if person.id in each.members and each.migrated_to is None]

    def message(self, chat: Chat | int, message_id: int) -> SeenMessage:
        """One message as it is now."""
        inside = self.of(chat)
        if message_id not in inside.messages:
            raise WorldError(f"There is no message {message_id} in {inside.chat.title}; it may have been deleted.")
        return inside.messages[message_id]

    def is_bots(self, message: SeenMessage) -> bool:
        """Whether the bot sent it."""
        return message.sender is not None and message.sender.id == self.bot.id

    def post(
        self,
        inside: ChatState,
        sender: Person | Chat,
        content: Formatted = Formatted(""),  # noqa: B008 - frozen
        *,
        reply_to: int | None = None,
        topic: int | None = None,
        keyboard: Keyboard = (),
        attachment: Attachment | None = None,
        service: Service | None = None,
        is_forward: bool = False,
        inline_id: str | None = None,
    ) -> SeenMessage:
        """Write a new message down and tell the pages. A chat as sender means an anonymous admin or a channel."""
        number = next(inside.numbers)
        starts_topic = service is not None and service.kind == "forum_topic_created"
        message = SeenMessage(
            number,
            inside.chat,
            sender if isinstance(sender, Person) else None,
            content.text,
            self.clock(),
            sender_chat=sender if isinstance(sender, Chat) else None,
            entities=content.entities,
            reply_to=reply_to,
            thread=number if starts_topic else topic or inside.thread_of(reply_to),
            is_forward=is_forward,
            keyboard=keyboard,
            attachment=attachment,
            service=service,
            inline_id=inline_id,
        )
        inside.messages[number] = message
        self.publish("message", inside.chat, message)
        return message

    def keep_file(
        self,
        content: bytes,
        *,
        name: str,
        content_type: str,
        kind: Literal["photo", "document"] = "document",
        size: tuple[int, int] = (0, 0),
    ) -> Attachment:
        """Keep a file that somebody has sent; `size` is a photo's, in pixels."""
        file_id = next(f"file{n}" for n in itertools.count(len(self.files) + 1) if f"file{n}" not in self.files)
        attachment = Attachment(kind, file_id, name, content_type, len(content), *size)
        self.files[file_id] = attachment, content
        return attachment

    def put(self, message: SeenMessage, what: EventKind) -> None:
        """Replace a message by its newer self and tell the pages."""
        self.of(message.chat).messages[message.id] = message
        self.publish(what, message.chat, message)

    def drop(self, message: SeenMessage) -> None:
        """Delete a message."""
        del self.of(message.chat).messages[message.id]
        self.publish("deleted", message.chat, message)

    def deliver(self, message: SeenMessage) -> None:
        """Queue an update with this message for the bot, if it is in the chat."""
        if self.of(message.chat).bot_is_here:
            self.updates.add("channel_post" if message.chat.kind == "channel" else "message", self.json_of(message))

    def set_bot_status(self, inside: ChatState, status: BotStatus, *, by: Person) -> None:
        """Change what the bot is in a chat, and queue the update that tells it."""
        old, inside.bot_status = inside.bot_status, status
        if old == status:
            return
        may_post = inside.may_post if inside.chat.kind == "channel" else None
        change: Json = {
            "chat": inside.chat.json(),
            "from": by.json(),
            "date": int(self.clock().timestamp()),
            "old_chat_member": self.bot.json_as_member(old, may_post=may_post),
            "new_chat_member": self.bot.json_as_member(status, may_post=may_post),
        }
        self.updates.add("my_chat_member", change)
        self.publish("chat", inside.chat)

    def json_of(self, message: SeenMessage) -> Json:
        """The Message object, with the message it replies to as that is now: in a topic, if no other, its first."""
        topic = message.thread if message.chat.is_forum else None
        replied = self.of(message.chat).messages.get(message.reply_to or topic or 0)
        via = {} if message.inline_id is None else {"via_bot": self.bot.json()}
        return message.json(reply_to=replied) | via

    def publish(self, kind: EventKind, chat: Chat | None = None, message: SeenMessage | None = None) -> None:
        """Publish an event to pages and to those who wait."""
        self.events.publish(Event(kind, chat, message))
