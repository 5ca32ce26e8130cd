"""Which texts are not worth learning from, and which say the same again."""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Literal

from engine.unicode import nfkc

Fault = Literal["empty", "too_short", "oversized", "no_letters", "garbled"]

MIN_CHARACTERS: Final = 2  # two Chinese characters may be a name; one character of any script is no text
MAX_CHARACTERS: Final = 20_000
MAX_JUNK: Final = 0.01
"""Share of control characters, lone surrogates, unassigned and replacement characters (U+FFFD)."""

SHINGLE: Final = 5
SIMILAR: Final = 0.9
_FEWEST_CHARACTERS: Final = 40
"""A shorter text has so few shingles that one other word makes it another text: only its equal is its duplicate."""


def fault_of(text: str) -> Fault | None:
    """Why a text is not worth learning from, or None.

    >>> fault_of("42 %"), fault_of("茶和月")
    ('no_letters', None)
    """
    said = text.strip()
    if not said:
        return "empty"
    if len(said) < MIN_CHARACTERS:
        return "too_short"
    if len(said) > MAX_CHARACTERS:
        return "oversized"
    if sum(map(_is_junk, said)) > MAX_JUNK * len(said):
        return "garbled"
    return None if any(map(str.isalpha, said)) else "no_letters"


def first_alike(texts: Sequence[str]) -> tuple[int, ...]:
    """For each text the number of the first one that it says again: its own where it is new.

    Alike are texts that are equal, or whose sets of character 5-grams have a Jaccard similarity of 0.9 or more, after
    NFKC, case folding and joining of blanks. Exact, by prefix filtering (Bayardo, Ma and Srikant, "Scaling up all pairs
    similarity search", WWW 2007): with its shingles in a fixed order, the rarest first, a text of n can only be alike
    one that shares one of its first n - ceil(0.9 n) + 1. A text is compared with the first of each kind only.
    """
    sets = [_shingles(text) for text in texts]
    counts: dict[str, int] = defaultdict(int)
    for shingles in sets:
        for shingle in shingles:
            counts[shingle] += 1
    equal: dict[str, int] = {}
    holders: dict[str, list[int]] = defaultdict(list)
    firsts = []
    for number, (text, shingles) in enumerate(zip(texts, sets, strict=True)):
        ranked = sorted(shingles, key=lambda shingle: (counts[shingle], shingle))
        prefix = ranked[: len(ranked) - math.ceil(SIMILAR * len(ranked)) + 1]
        candidates = sorted({earlier for shingle in prefix for earlier in holders[shingle]})
        alike = (earlier for earlier in candidates if _jaccard(shingles, sets[earlier]) >= SIMILAR)
        first = equal[text] if text in equal else next(alike, number)
        equal[text] = first
        if first == number:
            for shingle in prefix:
                holders[shingle].append(number)
        firsts.append(first)
    return tuple(firsts)


def _shingles(text: str) -> frozenset[str]:
    """The character 5-grams of a text that is long enough to have many."""
    plain = " ".join(nfkc(text).casefold().split())
    if len(plain) < _FEWEST_CHARACTERS:
        return frozenset()
    return frozenset(plain[start : start + SHINGLE] for start in range(len(plain) - SHINGLE + 1))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _is_junk(character: str) -> bool:
    return character == "\N{REPLACEMENT CHARACTER}" or (
        unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"} and character not in "\n\r\t"
    )
