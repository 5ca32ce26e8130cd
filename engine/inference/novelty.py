"""How new a text is beside those that were shown last: the share of its pairs of neighbouring tokens nobody has seen.

Where several texts please almost equally, the newest keeps what a community reads diverse (the pairs are distinct-2's:
Li et al. 2016, arXiv 1510.03055). Knows token ids; knows nothing of models, of tastes, or of who was shown what.
"""

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

REMEMBERED: Final = 256
"""Texts; each adds its pairs of tokens, some kilobytes."""

Pairs = frozenset[tuple[int, int]]


class Shown:
    """The texts that were shown last, as pairs of tokens."""

    def __init__(self) -> None:
        self._texts: deque[Pairs] = deque()
        self._counts: Counter[tuple[int, int]] = Counter()

    def novelty(self, completion: Sequence[int]) -> float:
        """From 0 to 1: the mean over the text's different pairs of 1 / (1 + how many texts had it); 0 without pairs."""
        pairs = _pairs(completion)
        return sum(1.0 / (1 + self._counts[pair]) for pair in pairs) / max(1, len(pairs))

    def add(self, completion: Sequence[int]) -> None:
        """One more text was shown; the oldest is forgotten where there are `REMEMBERED`."""
        if len(self._texts) == REMEMBERED:
            self._counts -= Counter(self._texts.popleft())
        self._texts.append(_pairs(completion))
        self._counts.update(self._texts[-1])

    def newest(self, completions: Sequence[Sequence[int]], places: Sequence[int]) -> int:
        """Which of these places has the newest text, the first where several are; it counts as shown from now on."""
        place = max(places, key=lambda place: self.novelty(completions[place]))
        self.add(completions[place])
        return place


def _pairs(completion: Sequence[int]) -> Pairs:
    return frozenset(itertools.pairwise(completion))
