"""What can be seen in the sandbox: people, chats, messages; frozen values, and each as the Bot API writes it in JSON.

Ids are Telegram's: a person's private chat has the person's id, groups and channels have negative ids. Moments are
aware UTC datetimes; the Bot API's dates are in whole seconds.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

Json = dict[str, object]
ChatKind = Literal["private", "group", "supergroup", "channel"]
BotStatus = Literal["administrator", "member", "left", "kicked"]
EventKind = Literal["message", "edited", "deleted", "reactions", "chat", "commands", "panel"]

_ADMIN_RIGHTS = (
    *("can_be_edited", "is_anonymous", "can_delete_messages", "can_manage_video_chats", "can_restrict_members"),
    *("can_promote_members", "can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories"),
    "can_delete_stories",
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; the bot is one too."""

    id: int
    name: str
    language: str = "en"
    username: str | None = None
    is_bot: bool = False

    def json(self) -> Json:
        """A User; a bot has no language."""
        value: Json = {"id": self.id, "is_bot": self.is_bot, "first_name": self.name}
        if self.username is not None:
            value["username"] = self.username
        return value if self.is_bot else value | {"language_code": self.language}

    def json_as_member(self, status: str, *, may_post: bool | None = None) -> Json:
        """A ChatMember; an administrator may do nothing beyond being one, in a channel perhaps post."""
        value: Json = {"status": status, "user": self.json()}
        if status == "administrator":
            value |= dict.fromkeys(_ADMIN_RIGHTS, False) | {"can_manage_chat": True}
            if may_post is not None:
                value["can_post_messages"] = may_post
        if status == "kicked":
            value["until_date"] = 0
        return value


ANONYMOUS_ADMIN = Person(1087968824, "Group", username="GroupAnonymousBot", is_bot=True)
"""Whom Telegram names as the sender when somebody writes as the group itself."""
CHANNEL_BOT = Person(136817688, "Channel", username="Channel_Bot", is_bot=True)
"""And when somebody writes as a channel of theirs."""
TELEGRAM = Person(777000, "Telegram")
"""And when Telegram brings a post of the group's channel."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A private chat with the bot, a group or a channel."""

    id: int
    kind: ChatKind
    title: str
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

    def json(self) -> Json:
        """A Chat."""
        value: Json = {"id": self.id, "type": self.kind, "first_name" if self.is_private else "title": self.title}
        return value | {"is_forum": True} if self.is_forum else value


@dataclass(frozen=True, slots=True)
class Entity:
    """A marked stretch of a text; `offset` and `length` in UTF-16 units."""

    kind: str
    offset: int
    length: int

    def json(self) -> Json:
        """A MessageEntity."""
        return {"type": self.kind, "offset": self.offset, "length": self.length}


@dataclass(frozen=True, slots=True)
class SeenButton:
    """One button of an inline keyboard."""

    text: str
    callback_data: str


Keyboard = tuple[tuple[SeenButton, ...], ...]
"""Rows of buttons; empty when there is no keyboard."""


@dataclass(frozen=True, slots=True)
class Reacted:
    """Everything one actor (a person or, anonymously, a chat) has put on a message."""

    actor_id: int
    emojis: tuple[str, ...]


def reactions_json(emojis: tuple[str, ...]) -> list[Json]:
    """A list of ReactionType, all of them emoji."""
    return [{"type": "emoji", "emoji": emoji} for emoji in emojis]


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

    def json(self) -> Json:
        """The field of a Message that holds it."""
        file: Json = {"file_id": self.file_id, "file_unique_id": f"u{self.file_id}", "file_size": self.size}
        if self.kind == "photo":
            return {"photo": [file | {"width": self.width, "height": self.height}]}
        return {"document": file | {"file_name": self.name, "mime_type": self.content_type}}


@dataclass(frozen=True, slots=True)
class Service:
    """A service message: who joined, the chat's other id after a migration, or the title of a new topic."""

    kind: Literal["new_chat_members", "migrate_to_chat_id", "migrate_from_chat_id", "forum_topic_created"]
    about: Person | int | str

    def json(self) -> Json:
        """The field of a Message that says it."""
        if isinstance(self.about, Person):
            return {self.kind: [self.about.json()]}
        return {self.kind: {"name": self.about, "icon_color": 0x6FB9F0} if isinstance(self.about, str) else self.about}


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
    def buttons(self) -> tuple[SeenButton, ...]:
        """All buttons, row by row."""
        return tuple(button for row in self.keyboard for button in row)

    @property
    def reaction_counts(self) -> dict[str, int]:
        """How many actors chose each emoji, most frequent first."""
        counts = Counter(emoji for reacted in self.reactions for emoji in reacted.emojis)
        return dict(counts.most_common())

    def button(self, callback_prefix: str) -> SeenButton | None:
        """The first button whose callback data starts so, or None."""
        return next((button for button in self.buttons if button.callback_data.startswith(callback_prefix)), None)

    def with_reaction(self, actor_id: int, emojis: tuple[str, ...]) -> "SeenMessage":
        """This message when the actor has exactly these emoji on it, as their newest reaction."""
        others = tuple(each for each in self.reactions if each.actor_id != actor_id)
        mine = (Reacted(actor_id, emojis),) if emojis else ()
        return replace(self, reactions=(*others, *mine))

    def emojis_of(self, actor_id: int) -> tuple[str, ...]:
        """What this actor has put on the message."""
        return next((reacted.emojis for reacted in self.reactions if reacted.actor_id == actor_id), ())

    def json(self, *, reply_to: "SeenMessage | None" = None) -> Json:
        """A Message; `reply_to` is nested one level deep, as Telegram does."""
        value: Json = {"message_id": self.id, "date": int(self.date.timestamp()), "chat": self.chat.json()}
        if self.sender is not None:
            value["from"] = self.sender.json()
        if self.sender_chat is not None:
            value["sender_chat"] = self.sender_chat.json()
            if self.chat.is_group:
                value["from"] = self._named_sender(self.sender_chat).json()
        if self.is_forward:
            value["is_automatic_forward"] = True
        if self.thread is not None:
            value["message_thread_id"] = self.thread
            if self.chat.is_forum:
                value["is_topic_message"] = True
        if self.edited_at is not None:
            value["edit_date"] = int(self.edited_at.timestamp())
        if reply_to is not None:
            value["reply_to_message"] = reply_to.json()
        if self.keyboard:
            rows = [[{"text": each.text, "callback_data": each.callback_data} for each in row] for row in self.keyboard]
            value["reply_markup"] = {"inline_keyboard": rows}
        return value | self._content()

    def _named_sender(self, chat: Chat) -> Person:
        """Whom Telegram names beside a chat that writes in a group."""
        if self.is_forward:
            return TELEGRAM
        return ANONYMOUS_ADMIN if chat.id == self.chat.id else CHANNEL_BOT

    def _content(self) -> Json:
        if self.service is not None:
            return self.service.json()
        value = {} if self.attachment is None else self.attachment.json()
        text, entities = ("text", "entities") if self.attachment is None else ("caption", "caption_entities")
        if self.text or self.attachment is None:
            value[text] = self.text
        if self.entities:
            value[entities] = [each.json() for each in self.entities]
        return value


@dataclass(frozen=True, slots=True)
class ButtonAnswer:
    """The bot's answer to a pressed button: a toast, an alert, or nothing to show."""

    text: str | None = None
    is_alert: bool = False


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
    """Something that a page may want to redraw; `panel` is what the side panel shows from now on."""

    kind: EventKind
    chat: Chat | None = None
    message: SeenMessage | None = None
    panel: Json = field(default_factory=dict)
