"""The word list of the safety filter: categories and their words, with what the operator adds and takes away.

Knows lists and how a bared text (`engine.disguise`) is looked up in them. Knows no chat and no model.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.disguise import Bared, bare
from engine.errors import RunError

HOUSE = "house"
"""The category of words that the operator adds."""

_FILE = Path(__file__).parent / "words.toml"
_ENDINGS = ("s", "es", "ed", "er", "ers", "ing")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_FEWEST_SPELLED = 4
"""A shorter word is not looked for inside of letters that were spelled apart."""


class WordList:
    """Finds categories of words in bared texts."""

    def __init__(self, words: Mapping[str, str]) -> None:
        """`words` gives each word its category."""
        self._han = {word: category for word, category in words.items() if _HAN.search(word)}
        plain = {word: category for word, category in words.items() if word not in self._han}
        self._spelled = {word: category for word, category in plain.items() if len(word) >= _FEWEST_SPELLED}
        self._words = {f"{word}{ending}": category for word, category in plain.items() for ending in _ENDINGS} | plain
        self._any_han, self._any_spelled = _any_of(self._han), _any_of(self._spelled)

    def categories(self, text: Bared) -> frozenset[str]:
        """The categories of the words in a text."""
        found = {self._words[word] for word in text.words & self._words.keys()}
        found |= {self._spelled[word] for run in text.spelled for word in self._any_spelled.findall(run)}
        found |= {self._han[word] for run in text.han for word in self._any_han.findall(run)}
        for mask in text.masked:
            found |= {category for word, category in self._words.items() if mask.fullmatch(word)}
        return frozenset(found)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds the longest of the words at each place; nothing where there are none."""
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")


def load_words(file: Path | None = None) -> WordList:
    """The shipped list, changed as the operator's file says: a word a line adds, `-word` takes away, `#` comments.

    Raises:
        RunError: the file cannot be read, or a line names a word to take away that is not there, or nothing.
    """
    words = {
        word: category
        for category, languages in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
        for each in languages.values()
        for word in each.split()
    }
    if file is not None:
        _change(words, file)
    return WordList(words)


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
            raise RunError(f"{file}, line {number}: {wish!r} has no letters; write a word, or -word to take one away.")
        if not wish.startswith("-"):
            words[word] = HOUSE
        elif words.pop(word, None) is None:
            raise RunError(f"{file}, line {number}: there is no {word!r} to take away; see the list in docs/safety.md.")


def _form_of(word: str) -> str:
    """A word as texts are compared with it: bared, without blanks and signs."""
    bared = bare(word)
    longest: Iterable[str] = (*bared.han, *bared.spelled, *bared.words)
    return max(longest, key=len, default="")
