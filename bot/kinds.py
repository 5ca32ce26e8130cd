"""Kinds: what people can ask for, read from `kinds.toml`. Knows instructions and lengths, no chat and no model."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from bot.texts import LANGUAGES

TEMPERATURE = 0.8
TOP_P = 0.95
MIN_P = 0.05
"""How every kind is sampled, in serving and in the trainer's replay of logged prompts alike."""

_FILE = Path(__file__).parent / "kinds.toml"
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of content with a command of its own."""

    name: str
    emoji: str
    max_tokens: int
    description: dict[str, str]
    """The line in the command menu, per language."""
    instruction: dict[str, str]
    """The system message, per language of the topic."""
    is_markdown: bool = False
    """Whether the model's Markdown is shown as bold, italic and the like."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """All kinds, in the order of the file; the first is the one for plain text."""

    by_name: dict[str, Kind]

    @property
    def default(self) -> Kind:
        """The kind for text without a command."""
        return next(iter(self.by_name.values()))

    @property
    def longest(self) -> int:
        """The most tokens that any kind may have."""
        return max(kind.max_tokens for kind in self.by_name.values())


def load_kinds(file: Path = _FILE) -> Kinds:
    """Read and check the file.

    Raises:
        ValueError: a kind lacks a field or a language, or its name cannot be a command.
    """
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return Kinds({name: _kind(name, table) for name, table in tables.items()})


def language_of_topic(topic: str) -> str:
    """The language to write in: Chinese when the topic has a Chinese character, else English.

    >>> language_of_topic("绿茶"), language_of_topic("green tea")
    ('zh', 'en')
    """
    return "zh" if _CJK.search(topic) else "en"


def _kind(name: str, table: dict[str, object]) -> Kind:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(f"The kind {name!r} cannot be a command: use small letters, digits and _.")
    emoji, max_tokens = table.get("emoji"), table.get("max_tokens")
    if not isinstance(emoji, str) or not isinstance(max_tokens, int):
        raise ValueError(f'The kind {name} needs emoji = "…" and max_tokens = a number.')
    renderer = table.get("renderer", "plain")
    if renderer not in ("plain", "markdown"):
        raise ValueError(f'The kind {name}: renderer is "plain" or "markdown", not {renderer!r}.')
    return Kind(
        name,
        emoji,
        max_tokens,
        _per_language(name, table, "description"),
        _per_language(name, table, "instruction"),
        is_markdown=renderer == "markdown",
    )


def _per_language(name: str, table: dict[str, object], field: str) -> dict[str, str]:
    texts = table.get(field)
    if not isinstance(texts, dict) or any(not isinstance(texts.get(language), str) for language in LANGUAGES):
        raise ValueError(f"The kind {name} needs {field} in each of {', '.join(LANGUAGES)}.")
    return {language: texts[language] for language in LANGUAGES}
