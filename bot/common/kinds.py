"""Kinds: what people can ask for, read from a file and checked; and the names of the bot's own commands."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bot.common.i18n import LANGUAGES

MENU = (
    "help", "duel", "top", "stats", "cancel", "settings", "optin", "optout", "privacy", "report", "check", "about",
    "mydata", "forget",
)  # fmt: skip
"""Everybody's, in the order of the menu."""
PRIVATE_ONLY = frozenset({"mydata"})
ADMIN_MENU = ("retrain", "models", "promote", "approve", "rollback", "health", "backup", "audit", "ban", "unban")
TAKEN = frozenset({"start", "developer_info", *MENU, *ADMIN_MENU})
"""No kind can have one of these."""

MAX_TOPIC_CHARACTERS = 2000

TEMPERATURE = 0.8
TOP_P = 0.95
MIN_P = 0.05
"""How every kind is sampled, in serving and in the trainer's replay of logged prompts alike."""

SHIPPED = Path(__file__).parents[1] / "kinds.toml"

_MOST = 80
"""Telegram's menu takes 100 commands, of which some are the bot's own."""
_MOST_TOKENS = 2048
_LONGEST_DESCRIPTION = 256
_LONGEST_EMOJI = 16
_RENDERERS = ("plain", "markdown")
_FIELDS = ("emoji", "max_tokens", "renderer", "description", "instruction")
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
    renderer: Literal["plain", "markdown"] = "plain"
    """How the model's text is shown: as it stands, or its Markdown as bold, italic and the like."""

    @property
    def is_markdown(self) -> bool:
        """Whether the model writes Markdown."""
        return self.renderer == "markdown"


@dataclass(frozen=True, slots=True)
class Kinds:
    """All kinds, in the order of the file; the first is the one for plain text."""

    by_name: dict[str, Kind]

    @property
    def default(self) -> Kind:
        """The kind for text without a command."""
        return next(iter(self.by_name.values()))

    def named(self, name: str) -> Kind:
        """A kind by its name; the default where there is none of that name any more."""
        return self.by_name.get(name, self.default)

    def parse(self, words: str) -> tuple[Kind, str]:
        """The kind that the first word names, with or without /, and the rest; else the default, and all of them."""
        first, *rest = words.split(maxsplit=1) or [""]
        kind = self.by_name.get(first.removeprefix("/").lower())
        return (self.default, words) if kind is None else (kind, "".join(rest))

    @property
    def longest(self) -> int:
        """The most tokens that any kind may have."""
        return max(kind.max_tokens for kind in self.by_name.values())


class InvalidKinds(ValueError):
    """A file of kinds has mistakes; `faults` has a sentence for each, with its line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def load_kinds(file: Path | None = None) -> Kinds:
    """Read and check a file of kinds; without one, those that are shipped.

    Raises:
        InvalidKinds: it cannot be read, or a kind lacks a field or a language, or cannot be a command.
    """
    file = file or SHIPPED
    try:
        text = file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKinds([f"{file} cannot be read as UTF-8 text: write one table for each kind there."]) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidKinds([f"{file} is not TOML: {error}."]) from error
    faults = [f"{file}:{_line_of(text, name, field)}: {sentence}" for name, field, sentence in _faults(tables)]
    if faults:
        raise InvalidKinds(faults)
    return Kinds({name: Kind(name, **table) for name, table in tables.items()})


def language_of_topic(topic: str) -> str:
    """The language to write in: Chinese when the topic has a Chinese character, else English.

    >>> language_of_topic("绿茶"), language_of_topic("green tea")
    ('zh', 'en')
    """
    return "zh" if _CJK.search(topic) else "en"


def _faults(tables: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(kind, field, sentence) for each mistake; no field where the kind as a whole is meant."""
    if not 1 <= len(tables) <= _MOST:
        yield "", "", f"There are {len(tables)} kinds, but there must be 1 to {_MOST}."
    for name, table in tables.items():
        if not isinstance(table, dict):
            yield name, "", f"{name} stands outside of a kind: begin each with its name, like [{name}]."
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            yield name, "", f"The kind {name!r} cannot be a command: use small letters, digits and _, 32 at most."
        if name in TAKEN:
            yield name, "", f"/{name} is a command of the bot's own: give the kind another name."
        for field, sentence in _faults_of(table):
            yield name, field, f"The kind {name}{sentence}"


def _faults_of(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in table.keys() - set(_FIELDS):
        yield field, f": there is no field {field!r}; there are {', '.join(_FIELDS)}."
    emoji, tokens = table.get("emoji"), table.get("max_tokens")
    if not (isinstance(emoji, str) and 1 <= len(emoji) <= _LONGEST_EMOJI):
        yield "emoji", ' needs an emoji, like emoji = "🌸".'
    if type(tokens) is not int or not 1 <= tokens <= _MOST_TOKENS:
        yield "max_tokens", f" needs a length from 1 to {_MOST_TOKENS}, like max_tokens = 120."
    if table.get("renderer", "plain") not in _RENDERERS:
        yield "renderer", f': renderer is "plain" or "markdown", not {table["renderer"]!r}.'
    yield from _faults_in_words(table, "description", _LONGEST_DESCRIPTION)
    yield from _faults_in_words(table, "instruction", None)


def _faults_in_words(table: dict[str, Any], field: str, most: int | None) -> Iterator[tuple[str, str]]:
    texts = table.get(field)
    words = texts if isinstance(texts, dict) else {}
    for language in LANGUAGES:
        text = words.get(language)
        if not isinstance(text, str) or not text.strip():
            yield field, f" needs {field}.{language}; each text stands there in {' and in '.join(LANGUAGES)}."
        elif most is not None and len(text) > most:
            yield f"{field}.{language}", f": {field}.{language} has {len(text)} characters; Telegram takes {most}."
    for language in words.keys() - set(LANGUAGES):
        yield f"{field}.{language}", f": the bot does not speak {language!r}; leave out {field}.{language}."


def _line_of(text: str, name: str, field: str) -> int:
    """The line where a field stands, or else where its kind begins, counted from 1."""
    begins, is_inside = 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"""\s*\[\s*["']?([^\]"'.]+)""", line):
            is_inside = header[1].strip() == name
            begins = number if is_inside and begins == 1 else begins
        elif re.match(rf"""\s*{re.escape(name)}\s*=""", line) and not is_inside and begins == 1:
            begins = number
        elif field and is_inside and re.match(rf"\s*{re.escape(field)}\s*[.=]", line):
            return number
    return begins
