"""What each person may choose for themselves in a chat, and what a choice means for their texts.

The first value of each is what holds until somebody chooses. Knows names, sampling and the words for the model; knows
nothing of who may choose.

Preferences: what each person chooses for themselves in a chat: the language they are answered in, tone, length and
temperature of their texts, how much stands under them, and whether they follow their own taste.

Knows what may be chosen and by whom. Knows no Telegram type.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bot.common.errors import Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.common.kinds import TEMPERATURE
from bot.learning.preference_sync import OWN_TASTE, PreferenceSync
from bot.messaging.messenger import Keyboard
from bot.messaging.render import settings_buttons
from storage.db.database import Database
from storage.tables import people

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "language": ("telegram", "en", "zh"),
    "tone": ("usual", "warm", "funny", "serious"),
    "length": ("usual", "short", "long"),
    "temperature": ("usual", "low", "high"),
    "footer": ("full", "short"),
    "own_taste": ("off", "on"),
}

_TEMPERATURES: Final[Mapping[str, float]] = {"usual": TEMPERATURE, "low": 0.5, "high": 1.1}


async def choices_of(db: Database, person: str, chat: str) -> dict[str, str]:
    """What holds for a person in a chat (pseudonyms), for every name of `OPTIONS`; a value of before that is no longer
    to be had counts as none."""
    chosen = await people.preferences(db, person, chat)
    return {name: chosen[name] if chosen.get(name) in values else values[0] for name, values in OPTIONS.items()}


def next_of(name: str, value: str) -> str:
    """What a press on a setting asks for.

    >>> next_of("footer", "full"), next_of("footer", "short")
    ('short', 'full')
    """
    values = OPTIONS[name]
    return values[(values.index(value) + 1) % len(values)]


def in_manner(instruction: str, choices: Mapping[str, str], language: str) -> str:
    """The system message with the wishes of tone and length behind it, in the language of the text."""
    wishes = [say(language, f"{name}-{choices[name]}-words") for name in ("tone", "length") if choices[name] != "usual"]
    gap = "" if language == "zh" else " "
    return gap.join([instruction, *wishes])


def temperature_of(choices: Mapping[str, str]) -> float:
    """The temperature of sampling."""
    return _TEMPERATURES[choices["temperature"]]


_SHORT = 12
"""Characters of a pseudonym that keep others from pressing one's buttons; too few to be used for anything else."""


class Preferences:
    """Shows and changes settings."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, preference_sync: PreferenceSync) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._preference_sync = preference_sync

    async def buttons(self, person_id: int, chat_id: int, language: str) -> Keyboard:
        """A person's settings in a chat, each as the button that changes it."""
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        choices = await choices_of(self._db, person, chat)
        settings = [(name, value, next_of(name, value)) for name, value in choices.items()]
        return settings_buttons(language, person[:_SHORT], settings)

    async def language(self, person_id: int, chat_id: int) -> str | None:
        """The language that a person has chosen to be answered in; None: the one that Telegram says."""
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        chosen = await people.preference(self._db, person, chat, "language")
        return chosen if chosen in OPTIONS["language"][1:] else None

    async def choose(self, person_id: int, chat_id: int, name: str, value: str, *, owner: str, at: datetime) -> None:
        """Set one of `OPTIONS`; `owner` is what the button says of whose it is.

        Raises:
            Refusal: the button is somebody else's or of before an upgrade; or texts to one's own taste are wished where
                nothing may be learned from the person, or no texts are compared at all.
        """
        person, chat = self._pseudonyms.person(person_id), self._pseudonyms.chat(chat_id)
        if owner != person[:_SHORT]:
            raise Refusal("settings-not-yours")
        if value not in OPTIONS.get(name, ()):
            raise Refusal("button-old")
        if (name, value) == (OWN_TASTE, "on"):
            await self._check_own_taste(person, chat)
        if value == OPTIONS[name][0]:
            await people.clear_preference(self._db, person, chat, name)
        else:
            await people.set_preference(self._db, person, chat, name, value, at=at)
        if name == OWN_TASTE:
            self._preference_sync.refit_soon()

    async def _check_own_taste(self, person: str, chat: str) -> None:
        if not self._preference_sync.is_available:
            raise Refusal("settings-no-taste")
        if not await people.has_consented(self._db, person, chat):
            raise Refusal("settings-need-consent")
