"""What each person may choose for themselves in a chat, and what a choice means for their texts.

The first value of each is what holds until somebody chooses. Knows names, sampling and the words for the model; knows
nothing of who may choose.
"""

from collections.abc import Mapping
from typing import Final

from bot.common.kinds import TEMPERATURE
from bot.common.texts import say
from storage.db.database import Database
from storage.tables import preferences

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
    chosen = await preferences.all_of(db, person, chat)
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
