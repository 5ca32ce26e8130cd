"""A taste in words: texts that were rated, what a fit of them found, and how one text of several is to be chosen.

Knows texts, numbers and people as opaque names. Knows nothing of torch, HTTP or of how a taste is computed.
"""

import hashlib
import random
from dataclasses import dataclass

from engine.api.chat import Message
from engine.errors import RequestError

MOST_TEXTS = 16
"""No request may have more texts compared than this."""
FEWEST_RATINGS = 6
"""With fewer ratings nobody has a taste of their own, only the house's."""


@dataclass(frozen=True, slots=True)
class RatedText:
    """A text, what it answered, and what everybody together thinks of it."""

    messages: tuple[Message, ...]
    text: str
    value: float
    """In [-1, 1]; above 0 it is liked."""
    weight: float
    """In [0, 1]: how much the votes outweigh the prior. A text of weight 0 teaches the house nothing."""


@dataclass(frozen=True, slots=True)
class PersonalRating:
    """What one person thinks of one of the texts."""

    text_index: int
    value: float
    """In [-1, 1]."""


@dataclass(frozen=True, slots=True)
class TasteFitted:
    """What came of fitting a taste."""

    texts: int
    people: int
    """Those with a taste of their own."""
    auroc: float | None
    """Chance that a liked text scores above a disliked one, cross-validated by prompt; None where there is too little
    to tell."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """How many texts may be written for one answer, and by whose taste one of them is chosen.

    Raises:
        RequestError: a value is outside its range; the sentence names the field.
    """

    best_of: int = 1
    """At most so many; fewer where others would have to wait for it."""
    taste: str | None = None
    person: str | None = None
    """Whose taste within it; None, or somebody it does not know: the house's."""
    explore: float = 0.0
    """How often a draw from what the taste may be decides, instead of its mean: Thompson sampling (Thompson,
    Biometrika 25, 1933; Russo et al., "A Tutorial on Thompson Sampling", 2018). So texts are also shown whose worth is
    not known yet, and the ratings do not only confirm what they already say."""

    def __post_init__(self) -> None:
        if not 1 <= self.best_of <= MOST_TEXTS:
            raise RequestError(f"best_of is {self.best_of}, but it must be from 1 to {MOST_TEXTS}.")
        if not 0.0 <= self.explore <= 1.0:
            raise RequestError(f"explore is {self.explore}, but it must be from 0 to 1.")

    def draw(self, seed: int | None) -> int | None:
        """The number of the draw that decides, or None: the mean does. The same for the same seed."""
        luck = random.Random(None if seed is None else f"{seed} explores")
        return luck.getrandbits(63) if luck.random() < self.explore else None


ONE_TEXT = Choosing()


def seed_of(seed: int | None, number: int) -> int | None:
    """The seed of the text with this number among those of one request, whose own is `seed`; the first has just that.

    Without a seed there is none for the others either.
    """
    if seed is None or number == 0:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed} {number}".encode(), digest_size=7).digest(), "big")
