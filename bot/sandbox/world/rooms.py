"""What the world remembers of one chat. Mutable on purpose and private to the sandbox; knows no updates."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bot.sandbox.world.records import Chat, Person, SeenMessage

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
