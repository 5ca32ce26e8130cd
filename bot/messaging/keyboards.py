"""Buttons under messages, as plain values: what they say and what they send back. Knows no Telegram type."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.common.i18n import CONSENT_TEXT_VERSION, say
from storage.db.records import DislikeReason, Generation, Tally

REASONS: Mapping[DislikeReason, str] = {
    "boring": "why-boring",
    "off_topic": "why-off-topic",
    "too_long": "why-too-long",
    "wrong": "why-wrong",
}
"""Each reason of a dislike, with the id of the words on its button."""


WISHES = ("shorter", "longer", "funnier", "serious")
"""What a button may wish of a text; the locales have the words on it and those for the model."""


@dataclass(frozen=True, slots=True)
class Button:
    """One inline button; `data` is 1 to 64 bytes."""

    text: str
    data: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds now, and what a press asks for."""

    name: str
    value: str
    other: str


Keyboard = tuple[tuple[Button, ...], ...]


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
    """👍 n · 👎 n under a take of inline mode; the token proves that the take was offered for that very message."""
    return (_rate(tally, f"{generation}:{token}"),)


def _rate(tally: Tally, whose: str) -> tuple[Button, Button]:
    """A count of 0 is not shown."""
    return (
        Button(f"👍 {tally.likes}" if tally.likes else "👍", f"up:{whose}"),
        Button(f"👎 {tally.dislikes}" if tally.dislikes else "👎", f"down:{whose}"),
    )


def reason_buttons(language: str, generation: int) -> Keyboard:
    """Why a text is disliked, for those who care to say."""
    return (tuple(Button(say(language, text), f"why:{generation}:{reason}") for reason, text in REASONS.items()),)


def wish_buttons(language: str, generation: int) -> Keyboard:
    """What may be wished of a text without a word, two in a row."""
    buttons = [Button(say(language, f"wish-{name}"), f"wish:{generation}:{name}") for name in WISHES]
    return (tuple(buttons[:2]), tuple(buttons[2:]))


def settings_buttons(language: str, owner: str, settings: Iterable[Setting]) -> Keyboard:
    """One row for each setting. `owner` says whose settings they are."""
    return tuple(
        (
            Button(
                say(language, f"settings-{it.name.replace('_', '-')}", value=it.value),
                f"set:{it.name}:{it.other}:{owner}",
            ),
        )
        for it in settings
    )


def report_buttons(language: str, generation: int) -> Keyboard:
    """What an admin may do with a reported text."""
    return (
        (
            Button(say(language, "report-clear"), f"clear:{generation}"),
            Button(say(language, "report-keep"), f"hide:{generation}"),
        ),
    )


def undo_button(language: str, version: str) -> Keyboard:
    """Takes a version out of service again."""
    return ((Button(say(language, "digest-undo", version=version), f"undo:{version}"),),)


def reaction_test_button(language: str) -> Keyboard:
    """The button whose press is looked for by /check."""
    return ((Button(say(language, "check-live-button"), "live"),),)


def stop_button(generation: Generation) -> Keyboard:
    """⏹ under a text that is being written; in a channel nobody could press it."""
    return () if generation.delivery.is_channel else ((Button("⏹", f"stop:{generation.id}"),),)


def confirm_buttons(language: str, nonce: str) -> Keyboard:
    """Yes and no to something that cannot be undone; the nonce stands for what was asked."""
    return (
        (
            Button(say(language, "confirm-yes"), f"yes:{nonce}"),
            Button(say(language, "confirm-no"), f"no:{nonce}"),
        ),
    )


def consent_buttons(language: str) -> Keyboard:
    """Yes and no to the use of texts and ratings for training."""
    return (
        (
            Button(say(language, "consent-yes"), f"optin:{CONSENT_TEXT_VERSION}"),
            Button(say(language, "consent-no"), f"optout:{CONSENT_TEXT_VERSION}"),
        ),
    )
