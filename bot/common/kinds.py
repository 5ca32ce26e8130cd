"""Kinds: what people can ask for, read from a file and checked; and the names of the bot's own commands.

The same file has profiles: what families of models need that others do not. Which one holds is told by the model's name
and config.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any, Literal

from bot.common.i18n import LANGUAGES
from engine.api.types import MAX_NEW_TOKENS, Message, Sampling
from engine.errors import RequestError

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
MAX_TEXT_CHARACTERS = 12_000
"""Of a text that is to be summed up or gone on with: some 3,000 tokens in English, half a minute's reading on a CPU."""

TEMPERATURE = 0.8
TOP_P = 0.95
MIN_P = 0.05
"""How texts are sampled unless a kind or a profile says otherwise."""

SHIPPED = Path(__file__).parents[1] / "kinds.toml"

LENGTHS: Mapping[str, float] = {"usual": 1.0, "short": 0.6, "long": 2.0}
"""A wish, and by how much it changes `max_tokens` where the kind does not say."""
DARING: Mapping[str, float] = {"usual": 1.0, "low": 0.625, "high": 1.375}
"""What a wish for tamer or more daring texts makes of a kind's temperature, as a factor: of 0.8, 0.5 and 1.1."""
_HOTTEST = 2.0

_USUAL = Sampling(temperature=TEMPERATURE, top_p=TOP_P, min_p=MIN_P)
_FRAME_TOKENS = 200
"""For what stands around a text in the prompt."""
_CHARACTERS_A_TOKEN: Mapping[str, float] = {"en": 3.0, "zh": 0.5}
"""Of small vocabularies, rather too few than too many: a text that does not fit is refused by the engine."""
_PROFILES = "profiles"
_TOPIC, _LENGTH = "{topic}", "{length}"
_MOST = 80
"""Telegram's menu takes 100 commands, of which some are the bot's own."""
_MOST_TOKENS = 2048
_MOST_CALLS = 8
_LONGEST_DESCRIPTION = 256
_LONGEST_EMOJI = 16
_RENDERERS = ("plain", "markdown")
_FORMS = ("text", "line", "verse", "free")
_TAKES = ("topic", "text")
_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "stop",
)  # fmt: skip
_MODEL_FIELDS = ("max_tokens", "instruction", "request", "length", *_SAMPLING)
"""What a profile can change."""
_FIELDS = ("emoji", "renderer", "form", "description", "takes", "calls", "examples", *_MODEL_FIELDS)
_PROFILE_FIELDS = ("match", "languages", "system", "examples", "kinds", *_MODEL_FIELDS)
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KEY = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"


@dataclass(frozen=True, slots=True)
class Length:
    """What a wish for a short, usual or long text means."""

    factor: float
    """Of `max_tokens`."""
    words: Mapping[str, str]
    """What stands for {length} in the request, per language."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request and an answer to it, shown to models that are too small to do without."""

    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of content with a command of its own, as one model is asked for it."""

    name: str
    emoji: str
    max_tokens: int
    description: Mapping[str, str]
    """The line in the command menu, per language."""
    instruction: Mapping[str, str] = field(default_factory=dict)
    """The system message, per language of the topic; empty where there is none."""
    request: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(LANGUAGES, _TOPIC))
    """The user's turn, per language of the topic, with {topic} and perhaps {length} in it."""
    renderer: Literal["plain", "markdown"] = "plain"
    """How the model's text is shown: as it stands, or its Markdown as bold, italic and the like."""
    form: Literal["text", "line", "verse", "free"] = "text"
    """What a finished text looks like: sentences, one line, lines of verse, or whatever the request asks for."""
    takes: Literal["topic", "text"] = "topic"
    """What people give: a topic, or a whole text, which may also be a file or the message that they reply to."""
    calls: int = 1
    """A text that runs out of tokens is gone on with, in so many calls of the model together."""
    usual: Sampling = _USUAL
    """How words are drawn, before anybody's wishes; `max_tokens` apart."""
    lengths: Mapping[str, Length] = field(default_factory=lambda: {n: Length(f, {}) for n, f in LENGTHS.items()})
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """Per language; none for a model that does better without."""
    context: int | None = None
    """How many tokens the model can hold; None where nobody knows."""
    languages: Sequence[str] = LANGUAGES
    """What the model writes in; what is asked for in others it would answer with gibberish."""
    has_system: bool = True
    """Whether the model's chat template has a system message; else the instruction begins the user's turn."""

    @property
    def is_markdown(self) -> bool:
        """Whether the model writes Markdown."""
        return self.renderer == "markdown"

    def most_characters(self, topic: str) -> int:
        """How long a topic, or a text, in this one's language may be, so that the model can read it and answer."""
        if self.takes == "topic":
            return MAX_TOPIC_CHARACTERS
        if self.context is None:
            return MAX_TEXT_CHARACTERS
        room = max(self.context - self.sampling(length="long").max_tokens - _FRAME_TOKENS, _FRAME_TOKENS)
        return min(MAX_TEXT_CHARACTERS, round(room * _CHARACTERS_A_TOKEN[language_of_topic(topic)]))

    def names_length(self, language: str) -> bool:
        """Whether the request says how long the text is to be."""
        return _LENGTH in self.request[language]

    def messages(
        self, topic: str, *, language: str | None = None, length: str = "usual", wishes: Sequence[str] = ()
    ) -> tuple[Message, ...]:
        """What the model is asked: instruction, examples, and the request on a topic.

        `wishes` are whole sentences; they end the request, or the instruction where the request is a bare topic.
        `language` is the topic's own where it is not given.
        """
        language = language or language_of_topic(topic)
        instruction, request = self.instruction.get(language, ""), self._request(language, length)
        asked = request.replace(_TOPIC, topic)
        space = "" if language == "zh" else " "
        if wishes and instruction and request == _TOPIC:
            instruction = space.join([instruction, *wishes])
        elif wishes:
            asked += ("\n\n" if request.endswith(_TOPIC) else space) + space.join(wishes)
        turns = []
        for example in self.examples.get(language, ()):
            turns += [Message("user", request.replace(_TOPIC, example.topic)), Message("assistant", example.text)]
        turns.append(Message("user", asked))
        if instruction and self.has_system:
            turns.insert(0, Message("system", instruction))
        elif instruction:
            turns[0] = Message("user", f"{instruction}\n\n{turns[0].content}")
        return tuple(turns)

    def topic_in(self, asked: str) -> str:
        """The topic of a request that `messages` has made; all of it where it was made in another way."""
        for request in self.request.values():
            before, _, after = request.partition(_TOPIC)
            if request == _TOPIC:
                continue
            ends = [found.start() for found in re.finditer(_framing(after), asked)] if after else [len(asked)]
            frames = re.finditer(rf"(?:\A|(?<=\n\n)){_framing(before)}", asked)  # an instruction may stand before it
            begin = max((found.end() for found in frames if ends and found.end() <= ends[-1]), default=None)
            if begin is not None:
                return asked[begin : ends[-1]].strip()
        return asked

    def sampling(self, *, length: str = "usual", daring: str = "usual", seed: int | None = None) -> Sampling:
        """How a text of this kind is drawn, by what a person has chosen in /settings."""
        return replace(
            self.usual,
            max_tokens=min(round(self.max_tokens * self.lengths[length].factor), MAX_NEW_TOKENS),
            temperature=min(self.usual.temperature * DARING[daring], _HOTTEST),
            seed=seed,
        )

    def _request(self, language: str, length: str) -> str:
        """The request with the word for a length, and {topic} still in it."""
        word = self.lengths[length].words.get(language, "")
        return re.sub(" {2,}", " ", self.request[language].replace(_LENGTH, word))


@dataclass(frozen=True, slots=True)
class Kinds:
    """All kinds, in the order of the file; the first is the one for plain text."""

    by_name: dict[str, Kind]
    profile: str | None = None
    """The name of the profile that holds; None: there is none for the model."""

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


def load_kinds(file: Path | None = None, *, model: Sequence[str] = (), context: int | None = None) -> Kinds:
    """Read and check a file of kinds; without one, those that are shipped.

    `model` are the names by which a model is known, the most telling first (`engine.api.models.names_of`). The first of
    them that fits a profile decides which one holds, and where it fits several, the first in the file. A file without
    profiles takes the shipped ones, as far as it is silent itself: what it says of a kind stands. `context` is how many
    tokens the model can hold, if that is known.

    Raises:
        InvalidKinds: it cannot be read, or a kind lacks a field or a language, or cannot be a command.
    """
    tables = _read(file or SHIPPED)
    profiles = tables.pop(_PROFILES, None)
    is_own = profiles is not None
    profile = _profile_for(model, profiles if is_own else _read(SHIPPED)[_PROFILES])
    name, says = (None, {}) if profile is None else profile
    general = {field: value for field, value in says.items() if field in _MODEL_FIELDS}
    particular = says.get("kinds", {}) if is_own else {}
    kinds = {}
    for kind, table in tables.items():
        merged = _merged(table, general, particular.get(kind, {})) if is_own else _merged(general, table)
        kinds[kind] = replace(_kind(kind, merged, says), context=context)
    return Kinds(kinds, name)


def _framing(words: str) -> str:
    """A pattern for what stands before or behind the topic of a request, whatever length is asked for."""
    return re.escape(words).replace(re.escape(_LENGTH), r"[^\n]{0,80}?").replace(r"\ ", r"\ {0,3}")


def language_of_topic(topic: str) -> str:
    """The language to write in: Chinese when the topic has a Chinese character, else English.

    >>> language_of_topic("绿茶"), language_of_topic("green tea")
    ('zh', 'en')
    """
    return "zh" if _CJK.search(topic) else "en"


def _read(file: Path) -> dict[str, Any]:
    """The tables of a file, checked."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKinds([f"{file} cannot be read as UTF-8 text: write one table for each kind there."]) from error
    except (ValueError, RecursionError) as error:  # of a number or a nest that is too large as well
        raise InvalidKinds([f"{file} is not TOML: {error}."]) from error
    faults = [f"{file}:{_line_of(text, path)}: {sentence}" for path, sentence in _faults(tables)]
    if faults:
        raise InvalidKinds(faults)
    return tables


def _profile_for(names: Sequence[str], profiles: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    for name in names:
        for profile, says in profiles.items():
            if any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in says["match"]):
                return profile, says
    return None


def _merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """One table; what a later one says holds, in texts language by language."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            before = merged.get(key)
            merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _kind(name: str, table: Mapping[str, Any], profile: Mapping[str, Any]) -> Kind:
    """A kind from its table, in which the profile's values stand already."""
    drawn = {key: table[key] for key in _SAMPLING if key in table}
    if "stop" in drawn:
        drawn["stop"] = tuple(drawn["stop"])
    lengths = {}
    for wish, factor in LENGTHS.items():
        words = dict(table.get("length", {}).get(wish, {}))
        lengths[wish] = Length(words.pop("factor", factor), words)
    examples = table.get("examples", {}) if profile.get("examples", False) else {}
    plain = Kind(name, table["emoji"], table["max_tokens"], table["description"])
    return replace(
        plain,
        instruction=table.get("instruction", {}),
        request=_merged(plain.request, table.get("request", {})),
        renderer=table.get("renderer", "plain"),
        form=table.get("form", "text"),
        takes=table.get("takes", "topic"),
        calls=table.get("calls", 1),
        usual=replace(plain.usual, **drawn),
        lengths=lengths,
        examples={language: [Example(**each) for each in listed] for language, listed in examples.items()},
        languages=profile.get("languages", LANGUAGES),
        has_system=profile.get("system", True),
    )


_Keys = tuple[str, ...]
_Faults = Iterator[tuple[_Keys, str]]
"""(where, sentence) for each mistake: the names of the tables and the field, from the outermost on."""


def _faults(tables: Mapping[str, Any]) -> _Faults:
    kinds = {name: table for name, table in tables.items() if name != _PROFILES}
    if not 1 <= len(kinds) <= _MOST:
        yield (), f"There are {len(kinds)} kinds, but there must be 1 to {_MOST}."
    for name, table in kinds.items():
        if not isinstance(table, dict):
            yield (name,), f"{name} stands outside of a kind: begin each with its name, like [{name}]."
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            yield (name,), f"The kind {name!r} cannot be a command: use small letters, digits and _, 32 at most."
        if name in TAKEN:
            yield (name,), f"/{name} is a command of the bot's own: give the kind another name."
        for path, sentence in _faults_of_kind(table):
            yield (name, *path), f"The kind {name}{sentence}"
    profiles = tables.get(_PROFILES, {})
    if not isinstance(profiles, dict):
        yield (_PROFILES,), "profiles must be tables, like [profiles.smollm2]."
        return
    for name, table in profiles.items():
        for path, sentence in _faults_of_profile(table, kinds):
            yield (_PROFILES, name, *path), f"The profile {name}{sentence}"


def _faults_of_kind(table: Mapping[str, Any]) -> _Faults:
    yield from _unknown(table, _FIELDS)
    emoji = table.get("emoji")
    if not (isinstance(emoji, str) and 1 <= len(emoji) <= _LONGEST_EMOJI):
        yield ("emoji",), ' needs an emoji, like emoji = "🌸".'
    if table.get("renderer", "plain") not in _RENDERERS:
        yield ("renderer",), f': renderer is "plain" or "markdown", not {table["renderer"]!r}.'
    if table.get("form", "text") not in _FORMS:
        yield ("form",), f": form is one of {', '.join(_FORMS)}, not {table['form']!r}."
    if table.get("takes", "topic") not in _TAKES:
        yield ("takes",), f': takes is "topic" or "text", not {table["takes"]!r}.'
    calls = table.get("calls", 1)
    if type(calls) is not int or not 1 <= calls <= _MOST_CALLS:
        yield ("calls",), f": calls must be from 1 to {_MOST_CALLS}."
    yield from _faults_in_words(table, "description", longest=_LONGEST_DESCRIPTION)
    if "instruction" not in table and "request" not in table:
        yield (), " needs an instruction or a request, or the model does not know what to do."
    yield from _faults_for_model(table)
    if "max_tokens" not in table:
        yield from _faults_in_tokens(None)
    yield from _faults_in_examples(table.get("examples", {}))


def _faults_of_profile(table: object, kinds: Mapping[str, Any]) -> _Faults:
    if not isinstance(table, dict):
        yield (), " must be a table, like [profiles.smollm2]."
        return
    yield from _unknown(table, _PROFILE_FIELDS)
    match = table.get("match")
    if not _are_texts(match):
        yield ("match",), ' needs names of models, like match = ["*smollm2*"].'
    yield from _faults_in_abilities(table)
    yield from _faults_for_model(table, is_partial=True)
    changed = table.get("kinds", {})
    for name, says in changed.items() if isinstance(changed, dict) else ():
        if name not in kinds:
            yield ("kinds", name), f": there is no kind {name!r} in this file."
        elif isinstance(says, dict):
            for path, sentence in (*_unknown(says, _MODEL_FIELDS), *_faults_for_model(says, is_partial=True)):
                yield ("kinds", name, *path), f", kind {name}{sentence}"
    if not isinstance(changed, dict) or not all(isinstance(says, dict) for says in changed.values()):
        yield ("kinds",), ": kinds must be tables, like [profiles.smollm2.kinds.slogan]."


def _faults_in_abilities(table: Mapping[str, Any]) -> _Faults:
    """In what a profile says a model can do."""
    languages = table.get("languages", list(LANGUAGES))
    if not _are_texts(languages) or not set(languages) <= set(LANGUAGES):
        yield ("languages",), f': languages must be some of {", ".join(LANGUAGES)}, like languages = ["en"].'
    for name in ("system", "examples"):
        if not isinstance(table.get(name, False), bool):
            yield (name,), f": {name} is true or false."


def _faults_for_model(table: Mapping[str, Any], *, is_partial: bool = False) -> _Faults:
    """In what kinds and profiles have in common; a profile may change one language and leave the other."""
    if "max_tokens" in table:
        yield from _faults_in_tokens(table["max_tokens"])
    for name in ("instruction", "request"):
        if name in table:
            yield from _faults_in_words(table, name, is_partial=is_partial)
    requests = table.get("request")
    for language, request in requests.items() if isinstance(requests, dict) else ():
        if isinstance(request, str) and request.count(_TOPIC) != 1:
            yield ("request", language), f": request.{language} must have {_TOPIC} in it, once."
    if "stop" in table and not _are_texts(table["stop"]):
        yield ("stop",), ': stop needs texts, like stop = ["\\n\\n"].'
    numbers: dict[str, Any] = {name: table[name] for name in _SAMPLING if name in table and name != "stop"}
    for name, value in numbers.items():
        if type(value) not in ((int,) if name == "top_k" else (int, float)):
            yield (name,), f": {name} needs a number."
            continue
        try:
            Sampling(**{name: value})
        except RequestError as error:
            yield (name,), f": {error}"
    yield from _faults_in_lengths(table.get("length", {}))


def _faults_in_tokens(tokens: object) -> _Faults:
    if type(tokens) is not int or not 1 <= tokens <= _MOST_TOKENS:
        yield ("max_tokens",), f" needs a length from 1 to {_MOST_TOKENS}, like max_tokens = 120."


def _faults_in_lengths(lengths: object) -> _Faults:
    form = 'length.short = { factor = 0.5, en = "very short", zh = "很短的" }'
    if not isinstance(lengths, dict) or not all(isinstance(says, dict) for says in lengths.values()):
        yield ("length",), f": length must be like {form}."
        return
    for wish, says in lengths.items():
        factor = says.get("factor", 1.0)
        if wish not in LENGTHS:
            yield ("length", wish), f": there is no length {wish!r}; there are {', '.join(LENGTHS)}."
        elif isinstance(factor, bool) or not isinstance(factor, int | float) or not 0.1 <= factor <= 4.0:
            yield ("length", wish, "factor"), f": length.{wish}.factor must be from 0.1 to 4."
        elif says.keys() - {"factor", *LANGUAGES} or not all(isinstance(says.get(each, ""), str) for each in LANGUAGES):
            yield ("length", wish), f": length.{wish} must be like {form}."


def _faults_in_examples(examples: object) -> _Faults:
    for language, listed in examples.items() if isinstance(examples, dict) else (("", None),):
        are_examples = isinstance(listed, list) and all(
            isinstance(each, dict) and each.keys() == {"topic", "text"} and _are_texts(list(each.values()))
            for each in listed
        )
        if language not in LANGUAGES or not are_examples:
            yield ("examples", language), ': examples must be like examples.en = [{ topic = "tea", text = "Sip." }].'


def _faults_in_words(
    table: Mapping[str, Any], field: str, *, longest: int | None = None, is_partial: bool = False
) -> _Faults:
    texts = table.get(field)
    words = texts if isinstance(texts, dict) else {}
    for language in words if is_partial and words else LANGUAGES:
        text = words.get(language)
        if language not in LANGUAGES:
            continue
        if not isinstance(text, str) or not text.strip():
            yield (
                (field, language),
                f" needs {field}.{language}; each text stands there in {' and in '.join(LANGUAGES)}.",
            )
        elif longest is not None and len(text) > longest:
            yield (field, language), f": {field}.{language} has {len(text)} characters; Telegram takes {longest}."
    for language in words.keys() - set(LANGUAGES):
        yield (field, language), f": the bot does not speak {language!r}; leave out {field}.{language}."


def _unknown(table: Mapping[str, Any], known: Sequence[str]) -> _Faults:
    for name in sorted(table.keys() - set(known)):
        yield (name,), f": there is no field {name!r}; there are {', '.join(known)}."


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) and each for each in value)


def _line_of(text: str, path: _Keys) -> int:
    """The line where a field stands, or else what it belongs to begins, counted from 1."""
    best, closest = 1, 0
    table: _Keys = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(rf"\s*\[{{1,2}}\s*({_PATH})", line):
            table = here = _keys(header[1])
        elif key := re.match(rf"\s*({_PATH})\s*=", line):
            here = (*table, *_keys(key[1]))
        else:
            continue
        shared = len(list(takewhile(bool, map(eq, here, path))))
        if shared > closest:
            best, closest = number, shared
    return best


def _keys(dotted: str) -> _Keys:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))
