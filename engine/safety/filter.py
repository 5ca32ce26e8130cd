"""The safety filter: one for prompts, generations and training examples. It tells categories, never the text itself.

A text is normalized before words are looked up. Undone are full-width and other compatibility forms (NFKC, Unicode
TR15), accents, invisible characters, letters of other scripts that look like Latin ones (Unicode TR39, confusables),
traditional characters (OpenCC), digits and signs in the place of letters, letters drawn out or spelled apart, and signs
strewn between letters.
"""

import ipaddress
import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_letters
from typing import Literal

import opencc
from stdnum import iban, luhn

from engine.errors import RunError
from engine.unicode import nfkc, stream_safe

Findings = Callable[[str], frozenset[str]]
"""The categories of what is found in a text."""

PERSONAL = "personal_"
"""Prefix of every category of personal data."""
OPERATORS_CATEGORY = "house"
"""The category of words that the operator adds."""

_WORDS_FILE = Path(__file__).parent / "words.toml"
_ENDINGS = ("s", "es", "ed", "er", "ers", "ing")
_MIN_SPELLED = 4
"""A shorter word is not looked for in letters that were spelled apart."""
_MAX_MASKED = 20

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ANY_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_HAN_RUN = re.compile(f"[{_HAN}]+")
_SIGN = "[^\\w\n，。！？；：、“”‘’（）《》…—]"
"""Strewn between characters to hide a word; punctuation is not, for a word does not go on behind it."""
_BETWEEN_HAN = re.compile(f"(?<=[{_HAN}])(?:{_SIGN}{{1,3}}|_+)(?=[{_HAN}])")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
                        "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]")  # fmt: skip
_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0]")
_CHUNK = re.compile(f"[^\\s{_HAN}]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_SPELLED_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:[\W_]{1,3}[^\W\d_]){2,}(?![^\W_])")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_PUNCTUATION = ".,!?;:…\"'`()[]{}“”‘’«»-—/"
_LEET = str.maketrans("013456789@$!|€", "oieasgtbgasile")
_LEET_L = str.maketrans("1!|", "lll")
"""The other reading of these three, before the rest is read by `_LEET`."""


class SafetyFilter:
    """Finds words of a list and personal data. `words` gives each word, or phrase with blanks, its category."""

    def __init__(self, words: Mapping[str, str], exceptions: Iterable[str] = ()) -> None:
        harmless = set(exceptions)
        self._han = {word: category for word, category in words.items() if _ANY_HAN.search(word)}
        plain = {word: category for word, category in words.items() if word not in self._han}
        self._phrases = {word: category for word, category in plain.items() if " " in word}
        joined = {word.replace(" ", ""): category for word, category in plain.items()}
        endings = {f"{word}{ending}": category for word, category in joined.items() for ending in _ENDINGS}
        self._words = {word: category for word, category in (endings | joined).items() if word not in harmless}
        self._spelled = {word: category for word, category in joined.items() if len(word) >= _MIN_SPELLED}
        self._any_han = _any_of([*self._han, *(word for word in harmless if _ANY_HAN.search(word))])
        self._any_spelled = _any_of(self._spelled)
        self._any_phrase = re.compile(rf"(?<!\S)(?:{_any_of(self._phrases).pattern})(?!\S)")
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in self._words:
            self._by_length[len(word)].append(word)

    def findings(self, text: str) -> frozenset[str]:
        """The categories of everything that is found: of words, and of personal data as `personal_email` and so on."""
        return self.unsafe(text) | {f"{PERSONAL}{kind}" for kind, _ in personal_data(text)}

    def leaks(self, text: str, *, told: str) -> frozenset[str]:
        """The categories of personal data in a text that is not in `told`, what those who asked have written."""
        return frozenset(f"{PERSONAL}{kind}" for kind, _ in personal_data(text) - personal_data(told))

    def unsafe(self, text: str) -> frozenset[str]:
        """The categories of words alone."""
        plain = normalize(text)
        found = {self._words[word] for word in plain.words & self._words.keys()}
        found |= {self._spelled[word] for run in plain.spelled for word in self._any_spelled.findall(run)}
        found |= {self._phrases[phrase] for phrase in self._any_phrase.findall(plain.sentence)}
        han = (word for run in plain.han for word in self._any_han.findall(run))
        found |= {self._han[word] for word in han if word in self._han}  # else an exception, which may hold a word
        for mask in plain.masked:
            found |= {self._words[word] for word in self._by_length[len(mask)] if _fits(mask, word)}
        return frozenset(found)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds the longest of the words at each place; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")


def _fits(mask: str, word: str) -> bool:
    """Whether a word is one with letters starred out."""
    return all(shown in ("*", letter) for shown, letter in zip(mask, word, strict=True))


def load_filter(words_file: Path | None = None) -> SafetyFilter:
    """The filter with the shipped words, as the operator's file changes them.

    A word or phrase on a line adds it, with `-` in front takes it away; `#` begins a comment.

    Raises:
        RunError: the file cannot be read, or a line is not one word or phrase, or takes away what is not there.
    """
    lists = tomllib.loads(_WORDS_FILE.read_text(encoding="utf-8"))
    exceptions = [word for each in lists.pop("exceptions").values() for word in each.split()]
    words = {
        word.replace("_", " "): category
        for category, languages in lists.items()
        for each in languages.values()
        for word in each.split()
    }
    if words_file is not None:
        _apply_changes(words, words_file)
    return SafetyFilter(words, exceptions)


def _apply_changes(words: dict[str, str], file: Path) -> None:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file} cannot be read as UTF-8 text: write one word a line there.") from error
    for number, line in enumerate(lines, start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        word = _normal_form(entry.removeprefix("-"))
        if not word:
            raise RunError(
                f"{file}, line {number}: {entry!r} is no word: write two or more letters of one script, or a phrase."
            )
        if not entry.startswith("-"):
            words[word] = OPERATORS_CATEGORY
        elif words.pop(word, None) is None:
            raise RunError(f"{file}, line {number}: there is no {word!r} to take away; see the list in docs/safety.md.")


def _normal_form(entry: str) -> str:
    """A word or phrase as texts are compared with it; "" for what is none, or of two scripts."""
    plain = normalize(entry)
    han, letters = "".join(plain.han), _ANY_HAN.sub("", plain.sentence).strip()
    form = han or (plain.spelled[0] if plain.spelled else letters)
    return "" if len(form) < 2 or (han and letters) else form


@dataclass(frozen=True, slots=True)
class Normalized:
    """A text as words of Latin (or other alphabetic) letters, and as runs of simplified Chinese characters."""

    words: frozenset[str]
    spelled: tuple[str, ...]
    """Letters that stood apart, joined: several words may follow one another in one."""
    masked: tuple[str, ...]
    """Words with letters starred out."""
    han: tuple[str, ...]
    sentence: str
    """The words in order, with single blanks."""


def normalize(text: str) -> Normalized:
    """Undo the disguises of a text.

    >>> sorted(normalize("Ｔ.е.а and sh0rt").words)
    ['and', 'short', 'tea']
    """
    folded = fold(text)
    in_order = _LETTERS.findall(folded)
    words = set(in_order)
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
    return Normalized(frozenset(words), spelled, tuple(masked[:_MAX_MASKED]), han, " ".join(in_order))


def _readings(chunk: str) -> Iterator[str]:
    """The words that one chunk without blanks may stand for."""
    joined = re.sub(r"[\W_]+", "", chunk)
    for signs in (chunk, joined):
        if not signs.isalpha():
            yield from _LETTERS.findall(signs.translate(_LEET))
            yield from _LETTERS.findall(signs.translate(_LEET_L).translate(_LEET))
    for word in (chunk, joined, joined.translate(_LEET)):
        if _DRAWN_OUT.search(word):
            yield _DRAWN_OUT.sub(r"\1", word)
            yield _DRAWN_OUT.sub(r"\1\1", word)
    yield joined


def fold(text: str) -> str:
    """The letters of a text as they are compared: small, plain, simplified, and Latin where they look so."""
    visible = _INVISIBLE.sub("", nfkc(text)).translate(_lookalikes())
    if not visible.isascii():
        visible = _ACCENTS.sub("", unicodedata.normalize("NFD", stream_safe(visible))).translate(_simplified())
    return visible.casefold()


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
    rows = (line.split() for line in table.read_text(encoding="utf-8").split("\n") if line.strip())
    return {ord(row[0]): row[1] for row in rows if len(row[0]) == 1}


_Found = tuple[Literal["email", "phone", "card", "bank_account", "ip_address", "secret"], str]

_DIGIT = re.compile(r"\d")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_NUMBER = re.compile(r"(?<![\w.])\+?\(?\d[\d ().\-/]{6,24}\d(?!\w)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w.]*[\w])")
_SECRET = re.compile(
    r"\b\d{6,12}:[\w-]{30,}"  # a bot's token
    r"|\b(?:sk|pk|rk)[-_](?:live|test|ant|proj)?[-_]?[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bhf_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\beyJ[\w-]{8,300}\.eyJ[\w-]{8,4000}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET_HINTS = (
    ":", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "xox",
    "AKIA", "AIza", "eyJ", "PRIVATE KEY",
)  # fmt: skip
"""A text without any of these has no secret; looking for them costs a tenth of matching the pattern."""
_NO_PHONE = re.compile(r"0?\d[./-]\d{1,2}[./-]\d{2,4}|0\.\d+$")
"""A date, as 01.02.2026 or 01-02-2026 10, or a fraction, as 0.12345678."""
_MOBILE_CN = re.compile(r"1[3-9]\d{9}")


def personal_data(text: str) -> frozenset[_Found]:
    """E-mail addresses, phone and card numbers, bank accounts, IP addresses and secrets, each in a canonical form.

    They are recognised by their form and, where they have one, by their checksum (Luhn: ISO/IEC 7812-1; IBAN: ISO
    13616).

    >>> sorted(personal_data("write to Ada@example.org or +49 30 1234567"))
    [('email', 'ada@example.org'), ('phone', '+49301234567')]
    """
    text = nfkc(text)
    found = [*_emails(text), *_secrets(text)]
    if _DIGIT.search(text):
        found += [*_numbers(text), *_accounts(text), *_ip_addresses(text)]
    return frozenset(found)


def _emails(text: str) -> Iterator[_Found]:
    if "@" in text:
        for match in _EMAIL.findall(text):
            yield "email", match.lower()


def _numbers(text: str) -> Iterator[_Found]:
    """Cards by their checksum; phones by a + or a leading 0, or the form of a Chinese mobile number."""
    for match in _NUMBER.findall(text):
        digits = re.sub(r"\D", "", match)
        if 13 <= len(digits) <= 19 and luhn.is_valid(digits):
            yield "card", digits
        elif match.lstrip("(").startswith(("+", "0")) and 8 <= len(digits) <= 15 and not _NO_PHONE.match(match):
            yield "phone", ("+" if "+" in match else "") + digits
        elif _MOBILE_CN.fullmatch(digits) or re.fullmatch(r"\(?\d{3}\)?[ -.]\d{3}[ -.]\d{4}", match):
            yield "phone", digits


def _accounts(text: str) -> Iterator[_Found]:
    for match in _IBAN.findall(text):
        for end in range(len(match), 14, -1):  # capitals may follow it
            if iban.is_valid(match[:end]):
                yield "bank_account", match[:end].replace(" ", "")
                break


def _ip_addresses(text: str) -> Iterator[_Found]:
    for match in _IP.findall(text):
        try:
            yield "ip_address", ipaddress.ip_address(match).compressed
        except ValueError:
            continue


def _secrets(text: str) -> Iterator[_Found]:
    if any(hint in text for hint in _SECRET_HINTS):
        for match in _SECRET.findall(text):
            yield "secret", match
