"""Simulated people as judges: strict or mild, noisy, often silent, some of them contrary.

A judge turns a text into an opinion and an opinion into an emoji. Knows no chat; all chance comes from the caller's
random generator, so that the same seed gives the same evening whatever order things happen in.
"""

import math
from dataclasses import dataclass
from random import Random

from bot.sandbox.records import Person
from bot.sandbox.tastes import Taste

LIKES = ("👍", "❤", "🔥", "😁", "🎉", "👏", "🥰", "💯")
DISLIKES = ("👎", "💩", "🤮", "🥱", "😢")

NAMES = {
    "en": (
        *("Ada", "Ben", "Clara", "Dov", "Edith", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Leo", "Mina"),
        *("Noah", "Olga", "Pablo", "Quinn", "Rosa", "Sami", "Tess", "Uma", "Viktor", "Wanda", "Yusuf", "Zoe"),
    ),
    "zh": ("小雨", "阿明", "晓月", "子涵", "思远", "雅婷", "建国", "志强", "美玲", "文博", "嘉怡", "天宇", "若曦"),
}


@dataclass(frozen=True, slots=True)
class Temper:
    """How a crowd judges, as shares from 0 to 1 and a spread.

    strictness_spread: standard deviation of people's shift in log-odds.
    noise: share of opinions that are a coin toss.
    silence: chance that somebody who was shown a text does not react.
    contrarians: share of people who like what others do not.
    button_share: share of ratings given by button instead of by reaction.
    """

    strictness_spread: float = 0.4
    noise: float = 0.08
    silence: float = 0.25
    contrarians: float = 0.05
    button_share: float = 0.2


@dataclass(frozen=True, slots=True)
class Judge:
    """One simulated person. `shift` moves the log-odds of a like; `favourites` are the emoji they reach for."""

    person: Person
    taste: Taste
    temper: Temper
    shift: float
    is_contrarian: bool
    favourites: tuple[str, str]

    def chance_of_like(self, text: str) -> float:
        """Before noise: the taste's liking, shifted by the person's mildness, turned round for contrarians."""
        liking = self.taste.liking(text)
        shifted = 1.0 / (1.0 + math.exp(-(math.log(liking / (1.0 - liking)) + self.shift)))
        return 1.0 - shifted if self.is_contrarian else shifted

    def likes(self, text: str, chance: Random) -> bool:
        """One opinion."""
        if chance.random() < self.temper.noise:
            return chance.random() < 0.5
        return chance.random() < self.chance_of_like(text)

    def is_silent(self, chance: Random) -> bool:
        """Whether this person lets a text pass without a rating."""
        return chance.random() < self.temper.silence

    def prefers_buttons(self, chance: Random) -> bool:
        """Whether this rating is given by button."""
        return chance.random() < self.temper.button_share

    def emoji(self, *, liked: bool, chance: Random) -> str:
        """Mostly the favourite emoji, sometimes another of the same meaning."""
        if chance.random() < 0.6:
            return self.favourites[0 if liked else 1]
        return chance.choice(LIKES if liked else DISLIKES)


def make_judge(person: Person, taste: Taste, temper: Temper, chance: Random) -> Judge:
    """A judge with a character of their own."""
    return Judge(
        person,
        taste,
        temper,
        shift=chance.gauss(0.0, temper.strictness_spread),
        is_contrarian=chance.random() < temper.contrarians,
        favourites=(chance.choice(LIKES), chance.choice(DISLIKES)),
    )


def name_for(index: int, language: str) -> str:
    """The name of the index-th person of a language; after the last name they are numbered."""
    names = NAMES[language]
    round_number, place = divmod(index, len(names))
    return names[place] if round_number == 0 else f"{names[place]} {round_number + 1}"
