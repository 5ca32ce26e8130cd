"""What can be seen in the sandbox: people, chats, messages. Frozen values; knows no rules and no JSON.

Ids are Telegram's: a person's private chat has the person's id, groups and channels have negative ids.
Moments are aware UTC datetimes with whole seconds, as on the wire.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

ChatKind = Literal["private", "group", "supergroup", "channel"]
EventKind = Literal[
    "message", "edited", "deleted", "reactions", "typing", "draft", "answer", "chat", "commands", "panel"
]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; the bot is one too."""

    id: int
    name: str
    language: str = "en"
    username: str | None = None
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Chat:
    """A private chat with the bot, a group or a channel."""

    id: int
    kind: ChatKind
    title: str
    username: str | None = None
    is_forum: bool = False
    """A supergroup with topics."""

    @property
    def is_private(self) -> bool:
        """Whether this is one person's chat with the bot."""
        return self.kind == "private"

    @property
    def is_group(self) -> bool:
        """Whether this is a group or a supergroup."""
        return self.kind in ("group", "supergroup")


@dataclass(frozen=True, slots=True)
class Entity:
    """A marked stretch of a text; `offset` and `length` in UTF-16 units."""

    kind: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None
    user_id: int | None = None
    custom_emoji_id: str | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """One button of an inline keyboard. `extra` keeps the fields that the sandbox shows but does not act on."""

    text: str
    callback_data: str | None = None
    url: str | None = None
    copy_text: str | None = None
    style: str | None = None
    extra: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a chat a new message goes: as a reply, into a topic."""

    reply_to: int | None = None
    topic: int | None = None


Keyboard = tuple[tuple[Button, ...], ...]
"""Rows of buttons; empty when there is no keyboard."""


@dataclass(frozen=True, slots=True)
class Reacted:
    """Everything one actor (a person or, anonymously, a chat) has put on a message."""

    actor_id: int
    emojis: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A photo or document; `size` in bytes, `width` and `height` in pixels (0 for documents)."""

    kind: Literal["photo", "document"]
    file_id: str
    name: str
    content_type: str
    size: int
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A service message: who joined or left, the chat's other id after a migration, or the title of a new topic."""

    kind: Literal[
        "new_chat_members", "left_chat_member", "migrate_to_chat_id", "migrate_from_chat_id", "forum_topic_created"
    ]
    person: Person | None = None
    chat_id: int | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message as everybody in the chat sees it now. `text` is the caption when there is an attachment."""

    id: int
    chat: Chat
    sender: Person | None
    text: str
    date: datetime
    sender_chat: Chat | None = None
    entities: tuple[Entity, ...] = ()
    edited_at: datetime | None = None
    reply_to: int | None = None
    thread: int | None = None
    """The message that began the topic, or outside of forums the chain of replies; supergroups only."""
    is_forward: bool = False
    """Brought by Telegram from the channel that the group belongs to."""
    keyboard: Keyboard = ()
    reactions: tuple[Reacted, ...] = ()
    attachment: Attachment | None = None
    service: Service | None = None
    inline_id: str | None = None
    """Telegram's name for a message that somebody has sent with the bot's help; None for every other message."""

    @property
    def edited(self) -> bool:
        """Whether the text was ever changed."""
        return self.edited_at is not None

    @property
    def buttons(self) -> tuple[Button, ...]:
        """All buttons, row by row."""
        return tuple(button for row in self.keyboard for button in row)

    @property
    def reaction_counts(self) -> dict[str, int]:
        """How many actors chose each emoji, most frequent first."""
        counts = Counter(emoji for reacted in self.reactions for emoji in reacted.emojis)
        return dict(counts.most_common())

    def button(self, callback_prefix: str) -> Button | None:
        """The first button whose callback data starts so, or None."""
        for button in self.buttons:
            if button.callback_data is not None and button.callback_data.startswith(callback_prefix):
                return button
        return None

    def with_reaction(self, actor_id: int, emojis: tuple[str, ...]) -> "SeenMessage":
        """This message when the actor has exactly these emoji on it, as their newest reaction."""
        others = tuple(each for each in self.reactions if each.actor_id != actor_id)
        mine = (Reacted(actor_id, emojis),) if emojis else ()
        return replace(self, reactions=(*others, *mine))

    def emojis_of(self, actor_id: int) -> tuple[str, ...]:
        """What this actor has put on the message."""
        return next((reacted.emojis for reacted in self.reactions if reacted.actor_id == actor_id), ())


@dataclass(frozen=True, slots=True)
class Answer:
    """The bot's answer to a pressed button: a toast, an alert, an address to open, or nothing to show."""

    text: str | None = None
    is_alert: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class InlineResult:
    """One article that the bot offers: its line in the list, and the message that it becomes."""

    id: str
    title: str
    description: str
    text: str
    entities: tuple[Entity, ...] = ()
    keyboard: Keyboard = ()


@dataclass(frozen=True, slots=True)
class InlineAnswer:
    """What a person sees who types the bot's name: articles, and perhaps a line above that opens the private chat."""

    query: str
    results: tuple[InlineResult, ...]
    hint: str | None = None
    start_parameter: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the command menu; `name` without the slash."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a page may want to redraw. `person_id` is set when it concerns one person only."""

    kind: EventKind
    chat: Chat | None = None
    message: SeenMessage | None = None
    person_id: int | None = None
    detail: dict[str, object] = field(default_factory=dict)
