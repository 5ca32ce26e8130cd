"""What exists in the world and who is told of a change. The ground that `world` and `bot_side` stand on.

Knows chats and messages; knows neither the rules for people (`world`) nor those for the bot (`bot_side`).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from bot.sandbox.world import wire
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.feed import Feed
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
from bot.sandbox.world.rooms import Room, numbering
from bot.sandbox.world.text import Formatted
from bot.sandbox.world.updates import Payload, UpdateQueue


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
        via = {} if message.inline_id is None else {"via_bot": wire.user(self.bot)}
        return wire.message(message, reply_to=replied) | via

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
