"""What people ask: the system messages of the kinds, free wishes, and wishes about a text that was just written.

The first instruction of each kind is the one in the bot's `kinds.toml`, word for word; the others say it differently.
Knows nothing of the texts that answer.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from recipes.grammar import FOLDER, Language


@cache
def _wishes(language: Language) -> Mapping[str, Any]:
    return tomllib.loads((FOLDER / f"wishes.{language}.toml").read_text(encoding="utf-8"))


def instructions(kind: str, language: Language) -> Sequence[str]:
    """The system messages that ask for a kind; the bot's own comes first."""
    found: Sequence[str] = _wishes(language)["instructions"][kind]
    return found


def requests(language: Language) -> Mapping[str, Sequence[str]]:
    """Free wishes with `{t}` for the topic, by what answers them: a kind, or an occasion such as `thanks`."""
    found: Mapping[str, Sequence[str]] = _wishes(language)["requests"]
    return found


def changes(language: Language) -> Mapping[str, Sequence[str]]:
    """Wishes about the last text, by what they change; `{t}` is a new topic."""
    found: Mapping[str, Sequence[str]] = _wishes(language)["changes"]
    return found
