"""What comes back from an OpenAI-compatible server, read as liberally as it can be meant.

Servers differ in how they stream, and some do not stream though they were asked to. So of the lines of an answer every
JSON object counts, wherever it stands, and of an object whatever can be text. What says nothing is passed over.
"""

import codecs
import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.api.protocol import ANSWER_FAILED, clean
from engine.api.refusals import refusal_in
from engine.api.thoughts import Thoughts
from engine.api.types import MAX_TEXTS, FinishReason, Reply, TokenLogprob, WrittenText
from engine.errors import AnswerFailed

_LINE_END = re.compile(r"\r\n|\r|\n")
_LONGEST_REST = 1 << 17
"""Characters of an object that goes over several lines and has not ended yet; it is read anew with each of them."""
_MOST_BYTES = 1 << 25
"""Of an answer; what comes after is not read."""
_MOST_CHARACTERS = 1 << 20
"""Of one text: far more than any request allows."""
_MOST_TOKENS = 1 << 31
_DECODER = json.JSONDecoder(strict=False)
_DEEPEST = 4
_CUT_OFF = re.compile(r"length|max_?tokens|model_length", re.IGNORECASE)
_TELLING = frozenset({"delta", "message", "text", "finish_reason"})
"""What only a choice has."""
_OTHER_FIELDS = frozenset({"event", "id", "retry"})
_SURROGATES = range(0xD800, 0xDC00)


async def lines_of(parts: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The lines of a body, which end with CR, LF or both; bytes that are no UTF-8 are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest: list[str] = []
    size = 0
    async for part in parts:
        if (size := size + len(part)) > _MOST_BYTES:
            break
        first, *others = _LINE_END.split(decoder.decode(part))
        rest.append(first)
        for line in others:
            yield "".join(rest)
            rest = [line]
    yield "".join([*rest, decoder.decode(b"", final=True)])


@dataclass(slots=True)
class Documents:
    """The JSON objects in the lines of an answer, also several in a line, or one over several."""

    is_done: bool = False
    """Whether the server has said that nothing more comes."""
    event: str = ""
    """What the server calls the present event."""
    is_page: bool = False
    """Whether a person was meant to read it."""
    rest: str = ""
    """The beginning of an object whose end has not come yet; or no JSON at all."""

    def feed(self, line: str) -> list[dict[str, Any]]:
        """The objects that a line brings to their end."""
        name, colon, value = line.partition(":")
        if not name.strip("\ufeff") or (colon and name in _OTHER_FIELDS):  # a comment, or the end of an event
            self.event = value.strip() if name == "event" else self.event if line else ""
            return []
        payload = (value if colon and name.strip("\ufeff ") == "data" else line).strip(" \t\ufeff\0")
        if payload.strip('[]";. ').upper() == "DONE":
            self.is_done = True
            return []
        self.is_page = self.is_page or payload[:9].lower() in ("<!doctype", "<html>")
        found, rest = _parsed(self.rest + payload)
        if self.rest and not found:
            alone, rest_alone = _parsed(payload)
            is_object = bool(alone) and isinstance(alone[0], dict | list)  # a line of a longer one may be a string
            found, rest = (alone, rest_alone) if is_object else (found, rest)
        self.rest = rest if rest[:1] in ("{", "[") and len(rest) <= _LONGEST_REST else ""
        flat = (each for one in found for each in (one if isinstance(one, list) else [one]))
        return [each for each in flat if isinstance(each, dict)]


def _parsed(text: str) -> tuple[list[Any], str]:
    """The JSON values that a text begins with, and what is left."""
    found, place = [], 0
    while place < len(text):
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        found.append(value)
        while place < len(text) and text[place] in " \t,":
            place += 1
    return found, text[place:]


@dataclass(slots=True)
class PartialReply:
    """A reply in the making, from chunks or from one whole completion, without what the model thinks aloud."""

    model: str
    texts: dict[int, str] = field(default_factory=dict)
    """As far as they have come, by their index; the one that began first is the reply's first."""
    may_begin_in_thought: bool = False
    """Whether the model is known, or by its name supposed, to think first and to say only where that ends."""
    has_thought_unseen: bool = False
    """Whether a text did so."""
    finish_reasons: dict[int, FinishReason] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    logprobs: dict[int, list[TokenLogprob]] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    characters: int = 0
    """That have come in all, thoughts included."""
    _written: dict[int, str] = field(default_factory=dict)
    """The texts with what the model thinks."""
    _thoughts: dict[int, Thoughts] = field(default_factory=dict)
    _halves: dict[int, str] = field(default_factory=dict)
    """The first halves of characters that are split over two chunks."""

    @property
    def has_ended(self) -> bool:
        """Whether there is a reason for the end of every text; not every server says [DONE] after the last."""
        return bool(self.finish_reasons) and self.texts.keys() <= self.finish_reasons.keys()

    @property
    def has_text(self) -> bool:
        """Whether anything has come that can be shown."""
        return any(text.strip() for text in self.texts.values())

    def take(self, value: Mapping[str, Any], event: str = "") -> str:
        """Add a chunk (or a whole completion) and return what it adds to the first text.

        Raises:
            EngineError: it says that the server has failed, or refuses.
        """
        error = value.get("error")
        if error or event == "error" or value.get("object") == "error":
            if isinstance(error, dict) and error.get("code") == ANSWER_FAILED:
                raise AnswerFailed("The engine failed at this answer; ask for something else.")
            raise ServerSays(value)
        self.usage = value["usage"] if isinstance(value.get("usage"), dict) else self.usage
        added = ""
        for place, choice in enumerate(_choices(value)):
            index = _index(choice.get("index"), place)
            is_first = index == next(iter(self.texts), index)
            new = self._new_text(index, choice)
            if new or index in self.texts or not choice.keys().isdisjoint(_TELLING):
                answer = self._answer(index, new, choice)
                self.texts[index] = self.texts.get(index, "") + answer
                added += answer if is_first else ""
            if (reason := choice.get("finish_reason")) and reason not in ("null", "none", "None"):
                self.finish_reasons[index] = "length" if _CUT_OFF.search(str(reason)[:100]) else "stop"
            if len(self._written.get(index, "")) > _MOST_CHARACTERS:
                self.finish_reasons[index] = "length"
            if length := _count(choice.get("tokens")):
                self.lengths[index] = length
            if logprobs := _logprobs_in(choice):
                self.logprobs.setdefault(index, []).extend(logprobs)
        return added

    def _answer(self, index: int, new: str, choice: Mapping[str, Any]) -> str:
        """Of more of a text what is no thought; what turns out to have been one is taken back."""
        self._written[index] = self._written.get(index, "") + new
        thought_apart = "".join(map(str, _reasoning_in(choice)))
        self.characters += len(new) + len(thought_apart)
        if index not in self._thoughts:
            if not new and not thought_apart:
                return ""
            may_begin_in_one = self.may_begin_in_thought and not thought_apart  # it has a field of its own, or none
            self._thoughts[index] = Thoughts(may_begin_in_one=may_begin_in_one)
        thoughts = self._thoughts[index]
        had = thoughts.began_in_one
        answer = thoughts.feed(new)
        if thoughts.began_in_one and not had:
            self.has_thought_unseen = True
            self.texts[index] = ""
        return answer

    def end_texts(self, *, is_cut_off: bool = False) -> str:
        """Nothing more comes: add what was held back as perhaps a thought; returns that of the first text."""
        added = ""
        for index, thoughts in self._thoughts.items():
            rest = thoughts.finish(is_cut_off=is_cut_off or self.finish_reasons.get(index) == "length")
            self.texts[index] = self.texts.get(index, "") + rest
            added += rest if index == next(iter(self.texts)) else ""
        return added

    def _new_text(self, index: int, choice: Mapping[str, Any]) -> str:
        before = self._written.get(index, "")
        text = _words(choice.get("delta")) or _words(choice.get("text"))
        if not text:
            text = _words(choice.get("message")) or _words(choice.get("content")) or _words(choice.get("response"))
            text = text.removeprefix(before)
        elif text == before and index in self.finish_reasons:
            return ""  # all of it once more, at the end
        text = self._halves.pop(index, "") + text
        if text and ord(text[-1]) in _SURROGATES:
            text, self._halves[index] = text[:-1], text[-1]
        return clean(text)[: _MOST_CHARACTERS + 1]

    def reply(self) -> Reply:
        """The reply, as far as it has come; of further texts only those that have ended."""
        written = _count(self.usage.get("completion_tokens"))
        if len(self.texts) <= 1:
            self.lengths.setdefault(next(iter(self.texts), 0), written)
        first = next((index for index, text in self.texts.items() if text.strip()), next(iter(self.texts), 0))
        ended = [first, *(index for index in sorted(self.texts) if index != first and index in self.finish_reasons)]
        return Reply(
            tuple(
                WrittenText(
                    self.texts.get(index, ""),
                    self.finish_reasons.get(index, "stop"),
                    self.lengths.get(index, 0),
                    tuple(self.logprobs.get(index, ())),
                )
                for index in ended
            ),
            self.model,
            _count(self.usage.get("prompt_tokens")),
            written,
        )


class ServerSays(Exception):
    """An error object in place of an answer, or in the middle of one."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__("an error object")
        self.refusal = refusal_in(value)


def _choices(value: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    choices = value.get("choices")
    if isinstance(choices, dict):
        choices = [choices]
    if isinstance(choices, list) and choices:
        return [each for each in choices[: 2 * MAX_TEXTS] if isinstance(each, dict)]
    is_bare = isinstance(value.get("message"), dict) or isinstance(value.get("delta"), dict)
    is_bare = is_bare or isinstance(value.get("response"), str) or isinstance(value.get("content"), str)
    return [value] if is_bare and "type" not in value else []


def _words(value: object, depth: int = 0) -> str:
    """The text in whatever a server puts in the place of a message or its content."""
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(_words(each, depth + 1) for each in value)
    if isinstance(value, dict) and value.get("type") in (None, "text", "output_text", "message"):
        return next(filter(None, (_words(value.get(key), depth + 1) for key in ("content", "text", "value"))), "")
    return ""


def _reasoning_in(choice: Mapping[str, Any]) -> Iterator[object]:
    """What the model thinks, where it has a field of its own."""
    for message in (choice.get("delta"), choice.get("message")):
        if isinstance(message, dict):
            yield from filter(None, (message.get("reasoning_content"), message.get("reasoning")))


def _logprobs_in(choice: Mapping[str, Any]) -> list[TokenLogprob]:
    """Of the tokens of a piece; none unless each of them has one that can be."""
    told = choice.get("logprobs")
    tokens = told.get("content") if isinstance(told, dict) else None
    if not isinstance(tokens, list):
        return []
    found = []
    for each in tokens:
        value = each.get("logprob") if isinstance(each, dict) else None
        if not (isinstance(value, int | float) and -math.inf < value <= 0):
            return []
        found.append(TokenLogprob(str(each.get("token")), float(value)))
    return found


def _index(value: object, place: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:3])
    is_index = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TEXTS
    return value if is_index and isinstance(value, int) else min(place, MAX_TEXTS - 1)


def _count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    is_number = isinstance(value, int | float) and 0 <= value < _MOST_TOKENS
    return int(value) if is_number and isinstance(value, int | float) else 0


def documents_in(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects in a whole answer, each with the name of its event."""
    documents = Documents()
    for line in _LINE_END.split(text):
        for value in () if documents.is_done else documents.feed(line):
            yield value, documents.event
