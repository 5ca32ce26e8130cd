"""What the services need of a messenger, as plain values. `bot.telegram.sender` is the real one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay

from bot.common.errors import NotNow

T = TypeVar("T")

_RETRY_SECONDS = 3600.0
_DEFAULT_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Button:
    """One inline button; `data` is 1 to 64 bytes."""

    text: str
    data: str


Keyboard = tuple[tuple[Button, ...], ...]
"""Rows of buttons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a message goes: a chat, perhaps a topic in it, perhaps as a reply."""

    chat_id: int
    reply_to: int | None = None
    thread_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A text that somebody may send into a chat of theirs, in inline mode."""

    token: str
    """By which Telegram tells that it was chosen."""
    title: str
    body: str
    footer: str
    is_markdown: bool
    buttons: Keyboard


@dataclass(frozen=True, slots=True)
class ReactionAccess:
    """Which reactions in a chat reach the bot."""

    is_admin: bool
    reactions: tuple[str, ...] | None
    """The emoji that the chat allows; None where it allows all."""


class Urgency(IntEnum):
    """Who goes first where Telegram's limits leave room for few. The first two wait in line for their turn; the
    others are turned away with `NotNow`, because what they would show is stale by the time they are let in."""

    FINAL = 0
    """A finished text."""
    TEXT = 1
    """A placeholder, a sentence, the answer to a press."""
    COUNTS = 2
    """The numbers under a text."""
    PREVIEW = 3
    """A text that still grows, or a progress bar."""

    @property
    def waits(self) -> bool:
        """Whether it stands in line."""
        return self <= Urgency.TEXT


class Messenger(Protocol):
    """Sends and edits texts.

    Every call may raise `ChatGone`, `MessageGone` or `NotNow`, or a plain `DeliveryError` when the message is refused.
    """

    async def send(self, to: Address, text: str, buttons: Keyboard = ()) -> int:
        """Send a message and return its id; after a `NotNow` it may stand there all the same."""

    async def send_picture(self, to: Address, png: bytes, *, caption: str) -> None:
        """Send a picture."""

    async def edit(
        self, chat_id: int, message_id: int, text: str, buttons: Keyboard = (), *, urgency: Urgency = Urgency.FINAL
    ) -> None:
        """Make a message show a plain text; showing it already counts as done."""

    async def edit_markdown(
        self, chat_id: int, message_id: int, body: str, footer: str, buttons: Keyboard = ()
    ) -> None:
        """Make a message show a Markdown text with a plain footer; as plain text where Telegram refuses the markup."""

    async def edit_buttons(self, chat_id: int, message_id: int, buttons: Keyboard) -> None:
        """Replace the buttons and leave the text, if there is room for that now."""

    async def edit_inline_buttons(self, inline_message_id: str, buttons: Keyboard) -> None:
        """Replace the buttons of a message that somebody has sent in inline mode, if there is room for that now."""

    async def delete(self, chat_id: int, message_id: int) -> None:
        """Delete a message; one that is gone already counts as done."""

    async def offer(self, query_id: str, offers: Sequence[Offer], hint: str = "") -> None:
        """Answer an inline query with texts to choose from, and a line above them."""


async def with_retries(action: Callable[[], Awaitable[T]], *, on_unknown: Callable[[], object] = lambda: None) -> T:
    """Do `action`, waiting as long as Telegram asks between tries, for an hour at most.

    `on_unknown` is called when a try failed in a way that leaves open whether it took effect.

    Raises:
        DeliveryError: it cannot be done, or the hour is over.
    """

    def seconds(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return error.seconds if isinstance(error, NotNow) else _DEFAULT_PAUSE_SECONDS

    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(NotNow), wait=seconds, stop=stop_after_delay(_RETRY_SECONDS), reraise=True
    ):
        with attempt:
            try:
                result = await action()
            except NotNow as error:
                if error.is_unknown:
                    on_unknown()
                raise
    return result
