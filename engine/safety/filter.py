"""The word list of the safety filter: categories and their words, with what the operator adds and takes away.

Knows lists and how a bared text (`engine.safety.normalize`) is looked up in them. Knows no chat and no model.

The safety filter: one for prompts, generations and training examples. It tells categories and never repeats a text.

Knows words and personal data. What follows from a finding is decided by whoever asks.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from engine.errors import RunError
from engine.safety.normalize import Bared, bare
from engine.safety.pii import personal_data

HOUSE = "house"
"""The category of words that the operator adds."""

_FILE = Path(__file__).parent / "words.toml"
_ENDINGS = ("s", "es", "ed", "er", "ers", "ing")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_FEWEST_SPELLED = 4
"""A shorter word is not looked for inside of letters that were spelled apart."""


class WordList:
    """Finds categories of words in bared texts."""

    def __init__(self, words: Mapping[str, str], exceptions: Iterable[str] = ()) -> None:
        """`words` gives each word, or phrase with blanks, its category; `exceptions` are ordinary words."""
        harmless = set(exceptions)
        self._han = {word: category for word, category in words.items() if _HAN.search(word)}
        plain = {word: category for word, category in words.items() if word not in self._han}
        self._phrases = {word: category for word, category in plain.items() if " " in word}
        joined = {word.replace(" ", ""): category for word, category in plain.items()}
        endings = {f"{word}{ending}": category for word, category in joined.items() for ending in _ENDINGS}
        self._words = {word: category for word, category in (endings | joined).items() if word not in harmless}
        self._spelled = {word: category for word, category in joined.items() if len(word) >= _FEWEST_SPELLED}
        self._any_han = _any_of([*self._han, *(word for word in harmless if _HAN.search(word))])
        self._any_spelled = _any_of(self._spelled)
        self._any_phrase = re.compile(rf"(?<!\S)(?:{_any_of(self._phrases).pattern})(?!\S)")
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in self._words:
            self._by_length[len(word)].append(word)

    def categories(self, text: Bared) -> frozenset[str]:
        """The categories of the words in a text."""
        found = {self._words[word] for word in text.words & self._words.keys()}
        found |= {self._spelled[word] for run in text.spelled for word in self._any_spelled.findall(run)}
        found |= {self._phrases[phrase] for phrase in self._any_phrase.findall(text.flow)}
        han = (word for run in text.han for word in self._any_han.findall(run))
        found |= {self._han[word] for word in han if word in self._han}  # else an exception, which may hold a word
        for mask in text.masked:
            found |= {self._words[word] for word in self._by_length[len(mask)] if _fits(mask, word)}
        return frozenset(found)


def _fits(mask: str, word: str) -> bool:
    """Whether a word is one with letters starred out."""
    return all(shown in ("*", letter) for shown, letter in zip(mask, word, strict=True))


def load_words(file: Path | None = None) -> WordList:
    """The shipped list, changed as the operator's file says: a word or phrase a line adds, `-` before it takes away.

    `#` begins a comment.

    Raises:
        RunError: the file cannot be read, or a line is not one word or phrase, or takes away what is not there.
    """
    lists = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    exceptions = [word for each in lists.pop("exceptions").values() for word in each.split()]
    words = {
        word.replace("_", " "): category
        for category, languages in lists.items()
        for each in languages.values()
        for word in each.split()
    }
    if file is not None:
        _change(words, file)
    return WordList(words, exceptions)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds the longest of the words at each place; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")


def _change(words: dict[str, str], file: Path) -> None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file} cannot be read as UTF-8 text: write one word a line there.") from error
    for number, line in enumerate(lines, start=1):
        wish = line.partition("#")[0].strip()
        if not wish:
            continue
        word = _form_of(wish.removeprefix("-"))
        if not word:
            raise RunError(
                f"{file}, line {number}: {wish!r} is no word: write two or more letters of one script, or a phrase."
            )
        if not wish.startswith("-"):
            words[word] = HOUSE
        elif words.pop(word, None) is None:
            raise RunError(f"{file}, line {number}: there is no {word!r} to take away; see the list in docs/safety.md.")


def _form_of(word: str) -> str:
    """A word or phrase as texts are compared with it; "" for what is none, or of two scripts."""
    bared = bare(word)
    han, letters = "".join(bared.han), _HAN.sub("", bared.flow).strip()
    form = han or (bared.spelled[0] if bared.spelled else letters)
    return "" if len(form) < 2 or (han and letters) else form


Findings = Callable[[str], frozenset[str]]
"""The categories of what is found in a text."""

PERSONAL = "personal_"
"""Begins every category of personal data."""


class SafetyFilter:
    """Looks at texts."""

    def __init__(self, words: WordList) -> None:
        self._words = words

    def findings(self, text: str) -> frozenset[str]:
        """The categories of everything that is found: of words, and of personal data as `personal_email` and so on."""
        return self.unsafe(text) | {f"{PERSONAL}{kind}" for kind, _ in personal_data(text)}

    def unsafe(self, text: str) -> frozenset[str]:
        """The categories of words alone."""
        return self._words.categories(bare(text))

    def leaks(self, text: str, *, told: str) -> frozenset[str]:
        """The categories of personal data in a text that those who asked have not told."""
        return frozenset(f"{PERSONAL}{kind}" for kind, _ in personal_data(text) - personal_data(told))


def load_filter(words_file: Path | None = None) -> SafetyFilter:
    """The filter with the shipped words, as the operator's file changes them.

    Raises:
        RunError: the file is wrong; the sentence says where.
    """
    return SafetyFilter(load_words(words_file))
