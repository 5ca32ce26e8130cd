"""Which of several texts is shown: one that pleases nearly most, and of these the newest."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.preference.features import Array, words

CLOSE_ENOUGH: Final = 0.18
"""Log-odds; of the texts that are within so much of the best, the newest is shown: always the very best one would cost
diversity and hardly pleases more, for the head is not that sure. (.045 of the chance of a like, where that is 1/2.)"""
_EQUALLY_GOOD = 0.05
"""So close in quality, before anybody has rated, texts are equally good."""
NOVELTY_WINDOW: Final = 256
"""Texts; each adds its pairs of words, some kilobytes."""


def nearly_best(quality: Array, liking: Array | None = None) -> NDArray[np.int64]:
    """The places of those of n texts that are nearly the best.

    Both are log-odds, (n,): how good each text is whoever reads it, and how much it is liked here; None before there
    are ratings. Among candidates for one prompt likings differ by little while ratings are few, and what they say is
    an order: so they count by their standard scores. A weak head, whose likings are close together, leaves more to
    novelty.
    """
    if liking is None:
        return np.flatnonzero(quality >= quality.max() - _EQUALLY_GOOD)
    spread = max(float(liking.std()), 1e-9)
    scores = (liking - liking.mean()) / spread + quality
    return np.flatnonzero(scores >= scores.max() - CLOSE_ENOUGH / spread)


class RecentTexts:
    """The texts that were shown last, as pairs of neighbouring words: distinct-2's (Li et al. 2016, arXiv 1510.03055).

    Where several texts please almost equally, the most novel keeps what a community reads diverse.
    """

    def __init__(self) -> None:
        self._texts: deque[frozenset[tuple[str, str]]] = deque()
        self._counts: Counter[tuple[str, str]] = Counter()

    def novelty(self, text: str) -> float:
        """From 0 to 1: the mean over the text's different pairs of 1 / (1 + how many texts had it); 0 without pairs."""
        pairs = set(pairwise(words(text)))
        return sum(1.0 / (1 + self._counts[pair]) for pair in pairs) / max(1, len(pairs))

    def add(self, text: str) -> None:
        """One more text was shown; the oldest is forgotten where there are `NOVELTY_WINDOW`."""
        if len(self._texts) == NOVELTY_WINDOW:
            self._counts -= Counter(self._texts.popleft())
        self._texts.append(frozenset(pairwise(words(text))))
        self._counts.update(self._texts[-1])

    def most_novel(self, texts: Sequence[str], places: Iterable[int]) -> int:
        """Which of these places has the most novel text, the first of equals; it counts as shown from now on."""
        place = max(places, key=lambda place: self.novelty(texts[place]))
        self.add(texts[place])
        return place
