"""What a message is: where it goes, what stands under and around a text, and what the services need of a messenger.

`bot.telegram.sender` is the real messenger. Numbers in a button's `data` are generations. Old messages keep their
buttons, so the forms of `data` never change.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar, get_args

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay

from bot.common.errors import NotNow
from bot.common.i18n import CONSENT_TEXT_VERSION, say
from bot.common.kinds import Kinds
from bot.common.text import TELEGRAM_LIMIT, split, truncate, utf16_length
from storage.db.records import DislikeReason, Generation, Tally

T = TypeVar("T")

REFINEMENTS = ("shorter", "longer", "funnier", "serious")
"""How a button may change a text; the locales have the words on it and those for the model."""

MOST_MESSAGES = 10
"""That one text may take."""

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
        """Make a message show a Markdown text with a plain footer, if it has one; plain if that is refused."""

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


def with_footer(text: str, footer: str) -> str:
    """A text with its footer as the last paragraph, if it has one."""
    return f"{text}\n\n{footer}" if footer else text


class Renderer:
    """Puts a footer under texts; `label` says there that a machine wrote them."""

    def __init__(self, kinds: Kinds, label: str) -> None:
        self._kinds = kinds
        self.label = label

    def parts(self, generation: Generation, *, has_details: bool = True) -> tuple[str, str]:
        """As much of a text as fits into a message, and the footer: the label, and in detail the version and number."""
        footer = f"{self.label} · {generation.version} · #{generation.id}" if has_details else self.label
        return truncate(generation.text or "", TELEGRAM_LIMIT - utf16_length(footer) - 2), footer

    def pages(self, generation: Generation, *, has_details: bool = True) -> tuple[tuple[str, ...], str]:
        """A text in as many pieces as it needs messages, and the footer of the last.

        Where it is broken does not depend on the footer's details, so that it is the same whenever it is shown.
        """
        _, longest = self.parts(generation)
        _, footer = self.parts(generation, has_details=has_details)
        last = TELEGRAM_LIMIT - utf16_length(longest) - 2
        return split(generation.text or "", TELEGRAM_LIMIT, last=last, most=MOST_MESSAGES), footer

    def offer(self, generation: Generation, place: int) -> Offer:
        """A text of inline mode as it is listed; places count from 1."""
        token = generation.inline_token
        assert token is not None, "it was written for inline mode"
        kind = self._kinds.named(generation.kind)
        body, footer = self.parts(generation)
        return Offer(
            token=token, title=f"{kind.emoji} {kind.name} {place}", body=body, footer=footer,
            is_markdown=kind.is_markdown, buttons=offer_buttons(generation.id, token, Tally()),
        )  # fmt: skip


def rating_buttons(generation: Generation, tally: Tally) -> Keyboard:
    """👍 n · 👎 n · 🔁 · ✏️ under a generation, in a channel the first two, and 🏆 n under one of two."""
    number = generation.id
    rate = _rate(tally, str(number))
    if generation.delivery.is_channel:
        return (rate,)
    row = (*rate, Button("🔁", f"again:{number}"), Button("✏️", f"refine:{number}"))
    if tally.chosen is None:
        return (row,)
    words = say(generation.delivery.language, "duel-better")
    return row, (Button(f"{words} · {tally.chosen}" if tally.chosen else words, f"better:{number}"),)


def offer_buttons(generation: int, token: str, tally: Tally) -> Keyboard:
    """👍 n · 👎 n under an offer of inline mode; the token proves that it was offered for that very message."""
    return (_rate(tally, f"{generation}:{token}"),)


def _rate(tally: Tally, whose: str) -> tuple[Button, Button]:
    """A count of 0 is not shown."""
    return (
        Button(f"👍 {tally.likes}" if tally.likes else "👍", f"up:{whose}"),
        Button(f"👎 {tally.dislikes}" if tally.dislikes else "👎", f"down:{whose}"),
    )


def stop_button(generation: Generation) -> Keyboard:
    """⏹ under a text that is being written; in a channel nobody could press it."""
    return () if generation.delivery.is_channel else ((Button("⏹", f"stop:{generation.id}"),),)


def reason_buttons(language: str, generation: int) -> Keyboard:
    """Why a text is disliked, for those who care to say."""
    reasons = get_args(DislikeReason)
    return (_row(language, *((f"why-{it.replace('_', '-')}", f"why:{generation}:{it}") for it in reasons)),)


def refinement_buttons(language: str, generation: int) -> Keyboard:
    """How a text may be changed without a word, two in a row."""
    buttons = _row(language, *((f"wish-{name}", f"wish:{generation}:{name}") for name in REFINEMENTS))
    return buttons[:2], buttons[2:]


def settings_buttons(language: str, owner: str, settings: Iterable[tuple[str, str, str]]) -> Keyboard:
    """A button for each setting: its name, the value that holds and the one that a press sets; `owner` is whose."""
    return tuple(
        (Button(say(language, f"settings-{name.replace('_', '-')}", value=value), f"set:{name}:{other}:{owner}"),)
        for name, value, other in settings
    )


def report_buttons(language: str, generation: int) -> Keyboard:
    """What an admin may do with a reported text."""
    return (_row(language, ("report-clear", f"clear:{generation}"), ("report-keep", f"hide:{generation}")),)


def undo_button(language: str, version: str) -> Keyboard:
    """Takes a version out of service again."""
    return ((Button(say(language, "digest-undo", version=version), f"undo:{version}"),),)


def reaction_test_button(language: str) -> Keyboard:
    """The button whose press is looked for by /check."""
    return (_row(language, ("check-live-button", "live")),)


def confirm_buttons(language: str, nonce: str) -> Keyboard:
    """Yes and no to something that cannot be undone; the nonce stands for what was asked."""
    return (_row(language, ("confirm-yes", f"yes:{nonce}"), ("confirm-no", f"no:{nonce}")),)


def consent_buttons(language: str) -> Keyboard:
    """Yes and no to the use of texts and ratings for training."""
    version = CONSENT_TEXT_VERSION
    return (_row(language, ("consent-yes", f"optin:{version}"), ("consent-no", f"optout:{version}")),)


def _row(language: str, *buttons: tuple[str, str]) -> tuple[Button, ...]:
    """Buttons beside each other: for each the id of its sentence, and its data."""
    return tuple(Button(say(language, text), data) for text, data in buttons)
