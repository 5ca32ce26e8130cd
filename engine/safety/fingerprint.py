"""Keyed fingerprints of texts: a few numbers that nearly the same text has too, and that tell nothing without the key.

A bottom-k sketch (Broder, "On the resemblance and containment of documents", 1997; Cohen and Kaplan, PODC 2007): of a
text's character 5-grams, after NFKC, case folding and joining of blanks, the 16 with the smallest keyed hashes
(BLAKE2b). The share that two sketches have in common estimates how much the texts do. Knows strings; stores nothing.
"""

import hashlib
import heapq
import unicodedata
from collections.abc import Collection

SIZE = 16
ALIKE = 10
"""So many equal numbers of 16 make two texts the same one, give or take a few words."""
FEWEST = 8
"""A text with fewer is too short to be told from others."""
_SHINGLE = 5


def fingerprint(text: str, key: bytes) -> tuple[int, ...]:
    """Up to SIZE signed 64-bit numbers, ascending; the same text has the same under one key."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    shingles = {plain[start : start + _SHINGLE] for start in range(len(plain) - _SHINGLE + 1)}
    hashes = (hashlib.blake2b(each.encode(), key=key[:64], digest_size=8).digest() for each in shingles)
    return tuple(heapq.nsmallest(SIZE, (int.from_bytes(digest, signed=True) for digest in hashes)))


def is_alike(shared: int, one: Collection[int]) -> bool:
    """Whether a text with fingerprint `one` is another one with which it shares so many numbers."""
    return len(one) >= FEWEST and shared * SIZE >= ALIKE * len(one)
