"""What is on the screen of somebody in the group: finished texts, their buttons, the question for consent.

Knows a generation only by what everybody sees: a reply with rating buttons whose last paragraph is the footer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bot.sandbox.people.topics import ANYTHING, Asked
from bot.sandbox.world.records import Chat, SeenMessage
from bot.sandbox.world.world import World

LIKE, DISLIKE, AGAIN, REASON, CONSENT = "up:", "down:", "again:", "why:", "optin"
"""How the callback data of the buttons begin."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A finished text as people see it, and what it was asked for, where they have seen that."""

    message: SeenMessage
    asked: Asked = ANYTHING

    @property
    def text(self) -> str:
        """What the model wrote."""
        return without_footer(self.message.text)


def finished_answer(world: World, to: SeenMessage) -> SeenMessage | None:
    """The finished text that replies to a message; None while there is none."""
    return next((each for each in world.answers(to) if each.button(LIKE)), None)


def finished_texts(world: World, chat: Chat) -> Iterator[Shown]:
    """All finished texts in a chat, oldest first."""
    return (Shown(message) for message in world.messages(chat) if message.button(LIKE))


def without_footer(text: str) -> str:
    """The generation without its last paragraph, which holds label, version and id."""
    return text.rpartition("\n\n")[0] or text
