"""Simulated people as judges: strict or mild, noisy, often or always silent, some of them contrary.

A judge turns a text into an opinion and an opinion into an emoji. Knows no chat; all chance comes from the caller's
random generator, so that the same seed gives the same evening whatever order things happen in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from random import Random

from bot.sandbox.people.tastes import Taste, drifted, shifted
from bot.sandbox.people.topics import ANYTHING, Asked
from bot.sandbox.world.records import Person

LIKES = ("👍", "❤", "🔥", "😁", "🎉", "👏", "🥰", "💯")
DISLIKES = ("👎", "💩", "🤮", "🥱", "😴")

NAMES = {
    "en": (
        *("Ada", "Ben", "Clara", "Dov", "Edith", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Leo", "Mina"),
        *("Noah", "Olga", "Pablo", "Quinn", "Rosa", "Sami", "Tess", "Uma", "Viktor", "Wanda", "Yusuf", "Zoe"),
    ),
    "zh": ("小雨", "阿明", "晓月", "子涵", "思远", "雅婷", "建国", "志强", "美玲", "文博", "嘉怡", "天宇", "若曦"),
}


@dataclass(frozen=True, slots=True)
class Temper:
    """How a crowd judges: shares from 0 to 1, and a spread.

    strictness_spread: standard deviation of people's shift in log-odds.
    noise: share of opinions that are a coin toss.
    silence: chance that somebody who was shown a text does not react.
    contrarians: share of people who like what others do not.
    button_share: share of ratings given by button instead of by reaction.
    lurkers: share of people who never react at all.
    reasons: chance that somebody who disliked a text says why, where the bot asks.
    again: chance that somebody who disliked a text presses 🔁.
    refines: chance that they say instead what they would rather have.

    Raises:
        ValueError: a share is not within 0 and 1, or the spread is negative.
    """

    strictness_spread: float = 0.4
    noise: float = 0.08
    silence: float = 0.25
    contrarians: float = 0.05
    button_share: float = 0.2
    lurkers: float = 0.0
    reasons: float = 0.3
    again: float = 0.04
    refines: float = 0.02

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value < 0.0 or (value > 1.0 and each.name != "strictness_spread"):
                raise ValueError(f"{each.name} must be from 0 to 1, not {value}")


QUIET = Temper(lurkers=0.7)
"""A real chat: seven people in ten never react."""
COIN_TOSSES = Temper(noise=1.0)
"""A crowd without any taste."""
DRILLED = Temper(
    strictness_spread=0.0,
    noise=0.0,
    silence=0.0,
    contrarians=0.0,
    button_share=0.0,
    reasons=0.0,
    again=0.0,
    refines=0.0,
)
"""A brigade: everybody does the same, at once."""


@dataclass(frozen=True, slots=True)
class Judge:
    """One simulated person. `shift` moves the log-odds of a like; `favourites` are the emoji they reach for.

    `taste` is the crowd's, `place` where this person stands in it, from 0 to 1: camps sit side by side.
    """

    person: Person
    taste: Taste
    temper: Temper
    shift: float
    is_contrarian: bool
    favourites: tuple[str, str]
    is_lurker: bool = False
    place: float = 0.0

    def liking(self, text: str, asked: Asked = ANYTHING) -> float:
        """How well people of this one's own taste like the text, from 0 to 1, whoever they are."""
        return self.taste.of(self.place).liking(text, asked)

    def chance_of_like(self, text: str, asked: Asked = ANYTHING) -> float:
        """Before noise: the taste's liking, shifted by the person's mildness, turned round for contrarians."""
        chance = shifted(self.liking(text, asked), self.shift)
        return 1.0 - chance if self.is_contrarian else chance

    def likes(self, text: str, chance: Random, asked: Asked = ANYTHING) -> bool:
        """One opinion."""
        if chance.random() < self.temper.noise:
            return chance.random() < 0.5
        return chance.random() < self.chance_of_like(text, asked)

    def is_silent(self, chance: Random) -> bool:
        """Whether this person lets a text pass without a rating."""
        return chance.random() < self.temper.silence or self.is_lurker

    def prefers_buttons(self, chance: Random) -> bool:
        """Whether this rating is given by button."""
        return chance.random() < self.temper.button_share

    def gives_reason(self, chance: Random) -> bool:
        """Whether this person would say why they disliked a text."""
        return chance.random() < self.temper.reasons

    def asks_again(self, chance: Random) -> bool:
        """Whether this person, having disliked a text, presses 🔁."""
        return chance.random() < self.temper.again

    def refines(self, chance: Random) -> bool:
        """Whether they say instead what they would rather have."""
        return chance.random() < self.temper.refines

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
        is_lurker=chance.random() < temper.lurkers,
        place=chance.random(),
    )


def make_judges(people: Sequence[Person], taste: Taste, temper: Temper, seed: str) -> tuple[Judge, ...]:
    """A crowd, in which lurkers and camps have their exact shares, however small it is."""
    size = len(people)
    places = Random(f"{seed} places").sample(range(size), size)
    lurkers = Random(f"{seed} lurkers").sample(range(size), round(size * temper.lurkers))
    return tuple(
        replace(
            make_judge(person, taste, temper, Random(f"{seed} person {index}")),
            place=(places[index] + 0.5) / size,
            is_lurker=index in lurkers,
        )
        for index, person in enumerate(people)
    )


def turned(judges: Iterable[Judge], to: Taste, share: float) -> tuple[Judge, ...]:
    """These judges when this share of the crowd has gone over to another taste."""
    return tuple(replace(judge, taste=drifted(judge.taste, to, share)) for judge in judges)


def name_for(index: int, language: str) -> str:
    """The name of the index-th person of a language; after the last name they are numbered."""
    names = NAMES[language]
    round_number, place = divmod(index, len(names))
    return names[place] if round_number == 0 else f"{names[place]} {round_number + 1}"
