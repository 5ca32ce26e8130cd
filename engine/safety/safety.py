"""The safety filter: one for prompts, generations and training examples. It tells categories and never repeats a text.

Knows words and personal data. What follows from a finding is decided by whoever asks.
"""

from collections.abc import Callable
from pathlib import Path

from engine.safety.disguise import bare
from engine.safety.personal_data import personal_data
from engine.safety.words import WordList, load_words

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
