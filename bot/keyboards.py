"""Buttons under messages, as plain values: what they say and what they send back. Knows no Telegram type."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.texts import say
from storage.records import Reason, Tally

CONSENT_TEXT_VERSION = 1
"""Grows whenever the consent text changes its meaning; earlier opt-ins then no longer stand for it."""


REASONS: Mapping[Reason, str] = {
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


Keyboard = tuple[tuple[Button, ...], ...]


def rating_buttons(generation: int, tally: Tally) -> Keyboard:
    """👍 n · 👎 n · 🔁 · ✏️ under a generation; a count of 0 is not shown."""
    return (
        (
            Button(f"👍 {tally.likes}" if tally.likes else "👍", f"up:{generation}"),
            Button(f"👎 {tally.dislikes}" if tally.dislikes else "👎", f"down:{generation}"),
            Button("🔁", f"again:{generation}"),
            Button("✏️", f"refine:{generation}"),
        ),
    )


def offer_buttons(generation: int, token: str, tally: Tally) -> Keyboard:
    """👍 n · 👎 n under a take of inline mode; the token proves that the take was offered for that very message."""
    up, down, *_ = rating_buttons(generation, tally)[0]
    return ((Button(up.text, f"{up.data}:{token}"), Button(down.text, f"{down.data}:{token}")),)


def reason_buttons(language: str, generation: int) -> Keyboard:
    """Why a text is disliked, for those who care to say."""
    return (tuple(Button(say(language, text), f"why:{generation}:{reason}") for reason, text in REASONS.items()),)


def wish_buttons(language: str, generation: int) -> Keyboard:
    """What may be wished of a text without a word, two in a row."""
    buttons = [Button(say(language, f"wish-{name}"), f"wish:{generation}:{name}") for name in WISHES]
    return (tuple(buttons[:2]), tuple(buttons[2:]))


def settings_buttons(language: str, owner: str, *, own_taste: bool) -> Keyboard:
    """One row for each setting; a press asks for what it is not now. `owner` says whose settings they are."""
    state, other = ("on", "off") if own_taste else ("off", "on")
    return ((Button(say(language, "settings-own-taste", state=state), f"set:own_taste:{other}:{owner}"),),)


def report_buttons(language: str, generation: int) -> Keyboard:
    """What an admin may do with a reported text."""
    return (
        (
            Button(say(language, "report-clear"), f"clear:{generation}"),
            Button(say(language, "report-keep"), f"hide:{generation}"),
        ),
    )


def stop_button(generation: int) -> Keyboard:
    """⏹ under a text that is being written."""
    return ((Button("⏹", f"stop:{generation}"),),)


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
