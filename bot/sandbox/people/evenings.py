"""What an evening came to: numbers about texts, opinions and their hidden liking. Knows no chat."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.sandbox.people.rating import Opinion
from engine.runs.text_measures import distinct_2

DIVERSITY_PAIRS = 1000
"""Diversity is taken over so many pairs of words, in the order of the prompts, so that evenings can be compared."""

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")  # a Chinese character counts as a word


@dataclass(frozen=True, slots=True)
class Rated:
    """One text, its hidden liking (the share of people who like such a text), and what those did who were shown it."""

    text: str
    liking: float
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evening:
    """What an evening came to."""

    generations: int
    likes: int
    dislikes: int
    silent: int = 0
    """How often somebody was shown a text and kept silent."""
    reasons: int = 0
    """How many dislikes came with a reason."""
    true_liking: float
    """The mean hidden liking of the texts, from 0 to 1; 0 when there were none."""
    distinct_2: float = 0.0
    """Different pairs of neighbouring words over all pairs, of the first thousand."""
    unanswered: int = 0

    @property
    def satisfaction(self) -> float:
        """Likes among all ratings, from 0 to 1; 0 when nobody rated."""
        return self.likes / self.ratings if self.ratings else 0.0

    @property
    def ratings(self) -> int:
        """How many there were."""
        return self.likes + self.dislikes

    @property
    def silence(self) -> float:
        """The share of those shown a text who kept silent, from 0 to 1; 0 when none was shown."""
        shown = self.ratings + self.silent
        return self.silent / shown if shown else 0.0


def summary(rated: Sequence[Rated], *, unanswered: int) -> Evening:
    """The numbers of an evening whose texts stand in the order of their prompts."""
    opinions = [opinion for each in rated for opinion in each.opinions]
    return Evening(
        generations=len(rated),
        likes=sum(opinion.liked is True for opinion in opinions),
        dislikes=sum(opinion.liked is False for opinion in opinions),
        silent=sum(opinion.liked is None for opinion in opinions),
        reasons=sum(opinion.gave_reason for opinion in opinions),
        true_liking=sum(each.liking for each in rated) / len(rated) if rated else 0.0,
        distinct_2=diversity([each.text for each in rated]),
        unanswered=unanswered,
    )


def diversity(texts: Sequence[str]) -> float:
    """Distinct-2 of the words, whatever their case (Li et al. 2016, arXiv 1510.03055)."""
    numbers: dict[str, int] = {}
    words = [[numbers.setdefault(word.lower(), len(numbers)) for word in _WORD.findall(text)] for text in texts]
    return distinct_2(words, pairs=DIVERSITY_PAIRS)
