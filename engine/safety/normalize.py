"""Texts without their disguises: what a reader sees in them, as plain small letters and simplified characters.

Undone are full-width and other compatibility forms (NFKC, Unicode TR15), accents, invisible characters, letters of
other scripts that look like Latin ones (Unicode TR39, confusables), traditional characters (OpenCC), digits and signs
in the place of letters, letters drawn out or spelled apart, and signs strewn between letters. Knows characters, not
which words are sought.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_letters

import opencc

_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
                        "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]")  # fmt: skip
_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0]")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SIGN = "[^\\w\n，。！？；：、“”‘’（）《》…—]"
"""Strewn between characters to hide a word; punctuation is not, for a word does not go on behind it."""
_BETWEEN_HAN = re.compile(f"(?<=[{_HAN}])(?:{_SIGN}{{1,3}}|_+)(?=[{_HAN}])")
_HAN_RUN = re.compile(f"[{_HAN}]+")
_CHUNK = re.compile(f"[^\\s{_HAN}]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_MOST_MASKED = 20
_SPELLED_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:[\W_]{1,3}[^\W\d_]){2,}(?![^\W_])")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_PUNCTUATION = ".,!?;:…\"'`()[]{}“”‘’«»-—/"
_SIGNS = str.maketrans("013456789@$!|€", "oieasgtbgasile")
_OTHER_READINGS = str.maketrans("1!|", "lll")


@dataclass(frozen=True, slots=True)
class Bared:
    """A text as words of Latin (or other alphabetic) letters, and as runs of simplified Chinese characters."""

    words: frozenset[str]
    spelled: tuple[str, ...]
    """Letters that stood apart, joined: several words may follow one another in one."""
    masked: tuple[str, ...]
    """Words with letters starred out."""
    han: tuple[str, ...]
    flow: str
    """The words as they follow one another, with single blanks."""


def bare(text: str) -> Bared:
    """Undo the disguises of a text.

    >>> sorted(bare("Ｔ.е.а and sh0rt").words)
    ['and', 'short', 'tea']
    """
    folded = _fold(text)
    flow = _LETTERS.findall(folded)
    words = set(flow)
    is_drawn_out = _DRAWN_OUT.search(folded) is not None
    masked = []
    for chunk in set(_CHUNK.findall(folded)):
        inner = chunk.strip(_PUNCTUATION)
        if inner.isalpha() and not is_drawn_out:
            continue
        words.update(_readings(inner), _readings(chunk))
        if "*" in inner.strip("*"):
            masked.append(inner)
    spelled = tuple(re.sub(r"[\W_]+", "", run) for run in _SPELLED_APART.findall(folded))
    han = tuple(_HAN_RUN.findall(_BETWEEN_HAN.sub("", folded)))
    return Bared(frozenset(words), spelled, tuple(masked[:_MOST_MASKED]), han, " ".join(flow))


def _readings(chunk: str) -> Iterator[str]:
    """What one chunk without blanks may say."""
    joined = re.sub(r"[\W_]+", "", chunk)
    for signs in (chunk, joined):
        if not signs.isalpha():
            for table in ((_SIGNS,), (_OTHER_READINGS, _SIGNS)):
                read = signs
                for each in table:
                    read = read.translate(each)
                yield from _LETTERS.findall(read)
    for word in (chunk, joined, joined.translate(_SIGNS)):
        if _DRAWN_OUT.search(word):
            yield _DRAWN_OUT.sub(r"\1", word)
            yield _DRAWN_OUT.sub(r"\1\1", word)
    yield joined


def _fold(text: str) -> str:
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_lookalikes())
    if not seen.isascii():
        seen = _ACCENTS.sub("", unicodedata.normalize("NFD", seen)).translate(_simplified())
    return seen.casefold()


@cache
def _lookalikes() -> dict[int, str]:
    """Letters that look like a Latin one -> that one; Han characters and kana look like nothing here."""
    from confusable_homoglyphs.confusables import confusables_data  # noqa: PLC0415 - reads a megabyte of JSON at once

    found: dict[int, str] = {}
    for letter in ascii_letters:
        for alike in confusables_data.get(letter, ()):
            other = alike["c"]
            if len(other) == 1 and not other.isascii() and unicodedata.category(other)[0] in "LS":
                found.setdefault(ord(other), letter)
    return found


@cache
def _simplified() -> dict[int, str]:
    """Traditional characters -> their first simplified form."""
    table = Path(opencc.__file__).parent / "dictionary" / "TSCharacters.txt"
    rows = (line.split() for line in table.read_text(encoding="utf-8").splitlines() if line.strip())
    return {ord(row[0]): row[1] for row in rows if len(row[0]) == 1}
