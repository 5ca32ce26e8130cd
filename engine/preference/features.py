"""What the preference head sees of a text: its surface, its words and its spelling, whichever model wrote it.

Five blocks, side by side: the log of the length in words; the surface (Unicode categories and punctuation, log counts);
and which words, pairs of neighbouring words, and runs of three or four letters within words occur, each hashed into
`BUCKETS` (Weinberger et al. 2009, arXiv 0902.2206). A Chinese character counts as a word. The ends of a text are words
too, so that how it begins and how it ends are pairs. The surface halves the ratings that it takes to learn a taste for
length, questions, digits or emoji.
"""

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from threading import Lock
from zlib import crc32

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from engine.unicode import nfkc

Array = NDArray[np.float64]

BUCKETS = 2048
"""Of each of the three hashed blocks."""
REMEMBERED_TEXTS = 8192
"""Of which the features are kept; a text takes some 3 kB and, anew, half a millisecond."""

_CATEGORIES = "Lu Ll Lt Lm Lo Mn Nd No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cc".split()
_MARKS = ".,:;!?\n'\"-…，。、"
_SENTENCE_ENDS = ".!?。\n"
_SURFACE = len(_CATEGORIES) + len(_MARKS) + 4
_WIDTHS = (1, _SURFACE, BUCKETS, BUCKETS, BUCKETS)
FIRST_HASHED = 2
"""The place of the first block that says what occurs, 0 or 1; all that follow do."""
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\d_\u3400-\u9fff\uf900-\ufaff]+(?:['’][^\W\d_]+)?|\d+")


def block_slices(width: int) -> tuple[slice, ...]:
    """Where each block lies among `width` columns; features of another make are one block."""
    if width != sum(_WIDTHS):
        return (slice(0, width),)
    ends = tuple(accumulate(_WIDTHS))
    return tuple(slice(start, end) for start, end in zip((0, *ends), ends, strict=False))


def text_features(texts: Sequence[str]) -> Array:
    """The features of each text, (n, d)."""
    features = np.zeros((len(texts), sum(_WIDTHS)))
    for row, text in zip(features, texts, strict=True):
        surface, occurring = _seen(text)
        row[: len(surface)] = surface
        row[occurring] = 1.0
    return features


def words(text: str) -> list[str]:
    """The words of a text, in small letters; each Chinese character is one."""
    return WORD.findall(nfkc(text).lower())


def _digest(text: str) -> bytes:
    """By which a text is remembered, which is not kept itself: it may have to be forgotten."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


@cached(LRUCache(REMEMBERED_TEXTS), key=_digest, lock=Lock())
def _seen(text: str) -> tuple[Array, NDArray[np.int32]]:
    """Length and surface, (1 + _SURFACE,), and the columns of what occurs."""
    said = words(text)
    hashed = (said, map(" ".join, pairwise(["^", *said, "$"])), _spellings(said))
    columns = [
        sum(_WIDTHS[: FIRST_HASHED + block]) + bucket
        for block, names in enumerate(hashed)
        for bucket in sorted(_buckets(names))
    ]
    surface = np.array([math.log1p(len(said)), *_surface(text)])
    return surface, np.array(columns, dtype=np.int32)


def _buckets(names: Iterable[str]) -> set[int]:
    return {crc32(name.encode(errors="surrogatepass")) % BUCKETS for name in names}


def _spellings(said: Sequence[str]) -> Iterator[str]:
    """Runs of three and four letters of the words, whose ends count as letters."""
    for word in said:
        framed = f"<{word}>"
        for length in (3, 4):
            yield from (framed[start : start + length] for start in range(len(framed) - length + 1))


def _surface(text: str) -> list[float]:
    """Log counts of characters by category, of marks, words and sentences, and the mean length of a word."""
    plain = nfkc(text)
    categories = Counter(map(unicodedata.category, plain))
    spaced = plain.split()
    counts = [
        *(categories[category] for category in _CATEGORIES),
        *(plain.count(mark) for mark in _MARKS),
        len(plain),
        len(spaced),
        sum(plain.count(mark) for mark in _SENTENCE_ENDS),
    ]
    return [*map(math.log1p, counts), sum(map(len, spaced)) / max(1, len(spaced))]
