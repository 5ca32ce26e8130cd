"""Who hears of changes: pages with a queue of events, and tests that wait until something is so.

Knows nothing of what an event means. Lives in one event loop.

What the world remembers of one chat. Mutable on purpose and private to the sandbox; knows no updates.

What exists in the world and who is told of a change. The ground that `world` and `bot_side` stand on.

Knows chats and messages; knows neither the rules for people (`world`) nor those for the bot (`bot_side`).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from bot.sandbox.world import serializers
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.menus import Menus
from bot.sandbox.world.records import (
    Answer,
    Attachment,
    Chat,
    ChatKind,
    Event,
    EventKind,
    InlineAnswer,
    Keyboard,
    Person,
    Place,
    SeenMessage,
    Service,
)
from bot.sandbox.world.text import Formatted
from bot.sandbox.world.updates import Payload, UpdateQueue

Found = TypeVar("Found")

LOOK_AGAIN_SECONDS = 0.1
BACKLOG = 2000
"""Events kept for a slow listener; one that is further behind misses the oldest."""


class Feed:
    """Fans events out to listeners and wakes those who wait."""

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
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
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
                    await asyncio.wait((waiter,), timeout=LOOK_AGAIN_SECONDS)
                finally:
                    self._waiters.discard(waiter)
            return found


BotStatus = Literal["administrator", "member", "left", "kicked"]


@dataclass(slots=True)
class Room:
    """One chat: its messages by id in order, its people by id, and the bot's standing in it.

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


def numbering() -> Iterator[int]:
    """Message ids from 1."""
    return itertools.count(1)


def now() -> datetime:
    """This moment in whole seconds, UTC, as Telegram dates things."""
    return datetime.now(UTC).replace(microsecond=0)


class State:
    """People, rooms, files, menus, waiting updates and listeners."""

    def __init__(self, bot: Person, *, privacy_mode: bool = True, clock: Callable[[], datetime] = now) -> None:
        self.bot = bot
        self.privacy_mode = privacy_mode
        self.clock = clock
        self.people: dict[int, Person] = {}
        self.rooms: dict[int, Room] = {}
        self.updates = UpdateQueue(clock)
        self.feed = Feed()
        self.menus = Menus()
        self.files: dict[str, tuple[Attachment, bytes]] = {}
        self.queries: dict[str, asyncio.Future[Answer]] = {}
        self.inline_queries: dict[str, asyncio.Future[InlineAnswer]] = {}
        self.inline_feedback = True
        """Whether the bot hears which results are chosen, as its owner has told BotFather."""
        self.inline_messages: dict[str, tuple[int, int]] = {}
        """Where the messages with an inline id are: (chat id, message id)."""
        self._group_ids = itertools.count(4_000_001)
        self._shared_numbers = numbering()

    def open_private(self, person: Person) -> Room:
        """The person's chat with the bot, made when first asked for."""
        if person.id not in self.rooms:
            chat = Chat(person.id, "private", person.name, person.username)
            self.rooms[chat.id] = Room(chat, self._shared_numbers, members={person.id: person})
            self.tell("chat", chat)
        return self.rooms[person.id]

    def open_group(self, title: str, kind: ChatKind, *, bot_admin: bool, is_forum: bool = False) -> Room:
        """A new group, supergroup or channel; basic groups number messages with the private chats."""
        number = next(self._group_ids)
        chat = Chat(-number if kind == "group" else -1_000_000_000_000 - number, kind, title, None, is_forum)
        numbers = self._shared_numbers if kind == "group" else numbering()
        self.rooms[chat.id] = Room(chat, numbers, "administrator" if bot_admin else "member", is_started=True)
        self.tell("chat", chat)
        return self.rooms[chat.id]

    def room(self, chat: Chat | int) -> Room:
        """The inside of a chat."""
        chat_id = chat if isinstance(chat, int) else chat.id
        if chat_id not in self.rooms:
            raise WorldError(f"There is no chat {chat_id}; make it with private_chat or add_group.")
        return self.rooms[chat_id]

    def message(self, chat: Chat | int, message_id: int) -> SeenMessage:
        """One message as it is now."""
        room = self.room(chat)
        if message_id not in room.messages:
            raise WorldError(f"There is no message {message_id} in {room.chat.title}; it may have been deleted.")
        return room.messages[message_id]

    def is_bots(self, message: SeenMessage) -> bool:
        """Whether the bot sent it; its name may have changed since."""
        return message.sender is not None and message.sender.id == self.bot.id

    def post(
        self,
        room: Room,
        sender: Person | Chat,
        content: Formatted = Formatted(""),  # noqa: B008 - frozen
        *,
        place: Place = Place(),  # noqa: B008 - frozen
        keyboard: Keyboard = (),
        attachment: Attachment | None = None,
        service: Service | None = None,
    ) -> SeenMessage:
        """Write a new message down and tell the pages. A chat as sender means an anonymous admin or a channel."""
        message = SeenMessage(
            next(room.numbers),
            room.chat,
            sender if isinstance(sender, Person) else None,
            content.text,
            self.clock(),
            sender_chat=sender if isinstance(sender, Chat) else None,
            entities=content.entities,
            reply_to=place.reply_to,
            thread=place.topic or _thread_of(room, place.reply_to),
            keyboard=keyboard,
            attachment=attachment,
            service=service,
        )
        room.messages[message.id] = message
        self.tell("message", room.chat, message)
        return message

    def open_topic(self, room: Room, person: Person, title: str) -> SeenMessage:
        """Begin a topic with its notice, which has the topic's number."""
        notice = self.post(room, person, service=Service("forum_topic_created", title=title))
        return self._delivered(replace(notice, thread=notice.id))

    def forward(self, post: SeenMessage, room: Room) -> SeenMessage:
        """Bring a channel's post into a group."""
        copy = self.post(room, post.chat, Formatted(post.text, post.entities))
        return self._delivered(replace(copy, is_forward=True))

    def _delivered(self, message: SeenMessage) -> SeenMessage:
        self.put(message, "edited")
        self.deliver(message)
        return message

    def put(self, message: SeenMessage, what: EventKind) -> None:
        """Replace a message by its newer self and tell the pages."""
        self.room(message.chat).messages[message.id] = message
        self.tell(what, message.chat, message)

    def drop(self, message: SeenMessage) -> None:
        """Delete a message."""
        del self.room(message.chat).messages[message.id]
        self.tell("deleted", message.chat, message)

    def deliver(self, message: SeenMessage, kind: str = "message") -> None:
        """Queue an update with this message for the bot, if it is in the chat."""
        room = self.room(message.chat)
        if not room.bot_is_here:
            return
        if message.chat.kind == "channel":
            kind = kind.replace("message", "channel_post")
        self.updates.add(kind, self.wire_message(message))

    def wire_message(self, message: SeenMessage) -> Payload:
        """The Message object, with the message it replies to as that is now: in a topic, if no other, its first."""
        topic = message.thread if message.chat.is_forum else None
        replied = self.room(message.chat).messages.get(message.reply_to or topic or 0)
        via = {} if message.inline_id is None else {"via_bot": serializers.user(self.bot)}
        return serializers.message(message, reply_to=replied) | via

    def pressed(self, message: SeenMessage) -> Payload:
        """How a press names the message; one with an inline id is named by that alone."""
        if message.inline_id is not None:
            return {"inline_message_id": message.inline_id}
        return {"message": self.wire_message(message)}

    def tell(
        self,
        kind: EventKind,
        chat: Chat | None = None,
        message: SeenMessage | None = None,
        *,
        person_id: int | None = None,
        detail: dict[str, object] | None = None,
    ) -> None:
        """Publish an event to pages and to those who wait."""
        self.feed.publish(Event(kind, chat, message, person_id, detail or {}))

    def rooms_of(self, person: Person) -> Iterable[Room]:
        """The chats this person is in, oldest first, without groups that moved to a supergroup."""
        return [r for r in self.rooms.values() if person.id in r.members and r.migrated_to is None]


def _thread_of(room: Room, reply_to: int | None) -> int | None:
    """Where a reply belongs if nothing else is said: to the thread of what it replies to."""
    replied = room.messages.get(reply_to or 0)
    if replied is None or room.chat.kind != "supergroup":
        return None
    return replied.thread if room.chat.is_forum else replied.thread or replied.id
