"""Whether a text copies what others wrote, word for word or nearly; and keyed fingerprints of texts.

A fingerprint is a bottom-k sketch (Broder, "On the resemblance and containment of documents", 1997; Cohen and Kaplan,
PODC 2007): of a text's character 5-grams, after NFKC, case folding and joining of blanks, the 16 with the smallest
keyed hashes (BLAKE2b). The share that two sketches have in common estimates how much the texts do (MinHash); without
the key the numbers tell nothing.

A text is a copy if more than 60 % of its 8-grams of words stand in others' texts, or 50 words in a row do, or if its
sketch says that it shares about 70 % of its characters' 5-grams with one of them. A Chinese character counts as a word.
A text of fewer than 16 words is nobody's: a slogan may well be written twice.
"""

import hashlib
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Collection
from itertools import groupby
from pathlib import Path

from engine.errors import RunError
from engine.unicode import nfkc

_SKETCH = 16
_ALIKE = 10
"""So many equal numbers of 16 make two texts the same one, give or take a few words."""
_NEARLY = 11
"""Of 16 numbers: about 70 % of all 5-grams in common."""
_MIN_SKETCH = 8
"""A text with fewer numbers is too short to be told from others."""
_SHINGLE = 5

GRAM = 8
MIN_WORDS = 16
MAX_COVERED = 0.6
LONGEST_RUN = 50
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+")
_KEY = b"overlap"


def fingerprint(text: str, key: bytes) -> tuple[int, ...]:
    """Up to 16 signed 64-bit numbers, ascending; the same text has the same under one key."""
    plain = " ".join(nfkc(text).casefold().split())
    shingles = {plain[start : start + _SHINGLE] for start in range(len(plain) - _SHINGLE + 1)}
    hashes = (hashlib.blake2b(each.encode(), key=key[:64], digest_size=8).digest() for each in shingles)
    return tuple(heapq.nsmallest(_SKETCH, (int.from_bytes(digest, signed=True) for digest in hashes)))


def is_alike(shared: int, one: Collection[int]) -> bool:
    """Whether a text with fingerprint `one` is another one with which it shares so many numbers."""
    return len(one) >= _MIN_SKETCH and shared * _SKETCH >= _ALIKE * len(one)


class CopyIndex:
    """Texts that are not to be copied, except by their owners, whom opaque names tell apart."""

    def __init__(self) -> None:
        self._owners: dict[int, set[str]] = defaultdict(set)
        """8-gram, as a hash of this process -> whose texts have it."""
        self._texts: list[str] = []
        """The owner of each text that is long enough."""
        self._holders: dict[int, list[int]] = defaultdict(list)
        """A number of fingerprints -> the texts that have it."""

    def add(self, text: str, owner: str = "") -> None:
        """One more text that is not to be copied, except by its owner."""
        grams = _grams(_words(text))
        for gram in grams:
            self._owners[gram].add(owner)
        if grams:
            for number in fingerprint(text, _KEY):
                self._holders[number].append(len(self._texts))
            self._texts.append(owner)

    def is_copy(self, text: str, asker: str | None = None) -> bool:
        """Whether a text copies others than the one who asked for it."""
        words = _words(text)
        if len(words) < MIN_WORDS:
            return False
        found = (self._owners.get(gram) for gram in _grams(words))
        hits = [owners is not None and (len(owners) > 1 or asker not in owners) for owners in found]
        longest_run = max((len(list(run)) for hit, run in groupby(hits) if hit), default=0)
        if sum(hits) > MAX_COVERED * len(hits) or longest_run + GRAM - 1 >= LONGEST_RUN:
            return True
        shared = Counter(place for number in fingerprint(text, _KEY) for place in self._holders.get(number, ()))
        return any(count >= _NEARLY and self._texts[place] != asker for place, count in shared.items())


def _words(text: str) -> list[str]:
    """Words in small letters, and single Chinese characters.

    >>> _words("Green tea, 绿茶!")
    ['green', 'tea', '绿', '茶']
    """
    return _WORD.findall(text.casefold())


def _grams(words: list[str]) -> list[int]:
    return [hash(tuple(words[start : start + GRAM])) for start in range(len(words) - GRAM + 1)]


def read_protected(folder: Path | None) -> CopyIndex:
    """The texts of a folder, every .txt and .md file in it, UTF-8; none without one.

    Raises:
        RunError: the folder is not there, or a file cannot be read.
    """
    protected = CopyIndex()
    if folder is None:
        return protected
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder: name one with .txt or .md files in it.")
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md")):
        try:
            protected.add(file.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{file} cannot be read as UTF-8 text: repair it, or take it out of the folder.") from error
    return protected
