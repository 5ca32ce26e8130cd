"""How a stream that waits for its turn is told how many are before it: by a comment among its server-sent events.

Every reader of events skips comments, the official OpenAI client too, so only those hear it who listen. Knows bytes,
in the server to be written and in the client to be heard. Torch-free.

Request bodies: JSON checked against a pydantic model, and conversations in OpenAI's form.

Knows JSON and how a wrong field is told. Knows nothing of endpoints. Fields that a body does not know are ignored, as
OpenAI's server ignores them; fields that it knows must have the right type.

The wire format of OpenAI's moderations: `POST /v1/moderations`. Knows field names; judges nothing.

`POST /v1/taste`, our own addition to OpenAI's API: rated texts in, what a fit of them found out.

Knows field names and bounds. Knows nothing of tastes or of the engine.

The OpenAI-compatible wire format: request bodies checked and translated, answers and errors as JSON.

Knows field names, defaults, vLLM's extras and ours. Knows nothing of models, HTTP servers or the engine.
"""

import json
import math
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.api.types import (
    MAX_NEW_TOKENS,
    Choosing,
    FinishReason,
    Message,
    PersonalRating,
    RatedText,
    Role,
    Sampling,
    TasteFitted,
)
from engine.errors import RequestError

AT_WORK: Final = b": writing\n\n"
"""The comment of a stream that has its turn and nothing to show yet, so that nobody takes it for dead."""

_QUEUED = re.compile(rb"^: queued (\d{1,9})$", re.MULTILINE)


def queued(ahead: int) -> bytes:
    """The comment: so many requests get their turn before this one."""
    return b": queued %d\n\n" % ahead


def heard(part: bytes) -> Iterator[int]:
    """The numbers in a part of a stream."""
    return (int(found[1]) for found in _QUEUED.finditer(part))


MAX_NAME_CHARACTERS = 256

Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
"""Somebody or something, in the caller's words."""

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class Body(BaseModel):
    """What all bodies and their parts have in common."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


AnyBody = TypeVar("AnyBody", bound=Body)


class _Part(Body):
    type: str
    text: str = ""


class Turn(Body):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None

    def message(self) -> Message:
        """The turn as a message; RequestError if it holds anything but text."""
        parts = self.content if isinstance(self.content, list) else [_Part(type="text", text=self.content or "")]
        if any(part.type != "text" for part in parts):
            raise RequestError("messages: this model reads text only; leave out parts of other types.")
        return Message(_ROLES[self.role], clean("".join(part.text for part in parts)))


def parsed(body: bytes, kind: type[AnyBody]) -> AnyBody:
    """Read a body.

    Raises:
        RequestError: it is not JSON, or a field is missing or of the wrong type; the sentence names it.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(map(str, problem["loc"])) or "the body"
        raise RequestError(f"{path}: {problem['msg']}.") from error


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _ModerationBody(Body):
    input: str


def parse_moderation(body: bytes) -> str:
    """The text to judge.

    Raises:
        RequestError: the body has none.
    """
    return clean(parsed(body, _ModerationBody).input)


def moderation_object(model: str, found: Collection[str]) -> dict[str, Any]:
    """The answer: what was found, as categories that are true."""
    result = {
        "flagged": bool(found),
        "categories": dict.fromkeys(sorted(found), True),
        "category_scores": dict.fromkeys(sorted(found), 1.0),
    }
    return {"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": [result]}


def read_moderation(answer: Mapping[str, Any]) -> frozenset[str]:
    """The answer, as a client reads it; KeyError, TypeError, IndexError or AttributeError if it is something else."""
    result = answer["results"][0]
    found = frozenset(str(name) for name, is_found in result["categories"].items() if is_found)
    return found or frozenset({"flagged"} if result["flagged"] else ())


_Value = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]


class _Text(Body):
    messages: list[Turn] = Field(min_length=1)
    text: str
    value: _Value
    weight: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class _Rating(Body):
    text: Annotated[int, Field(ge=0)]
    value: _Value


class _TasteBody(Body):
    name: Annotated[Name, Field(min_length=1)]
    texts: list[_Text]
    people: dict[Name, list[_Rating]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TasteRequest:
    """A taste to fit; without texts, one to remove."""

    name: str
    texts: tuple[RatedText, ...]
    people: Mapping[str, Sequence[PersonalRating]]


def parse_taste(body: bytes) -> TasteRequest:
    """Read the body of `POST /v1/taste`; RequestError if it is malformed."""
    taste = parsed(body, _TasteBody)
    return TasteRequest(
        name=taste.name,
        texts=tuple(
            RatedText(tuple(turn.message() for turn in text.messages), clean(text.text), text.value, text.weight)
            for text in taste.texts
        ),
        people={
            person: tuple(PersonalRating(rating.text, rating.value) for rating in ratings)
            for person, ratings in taste.people.items()
        },
    )


def taste_object(
    name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
) -> dict[str, Any]:
    """The body of `POST /v1/taste`, as a client writes it."""
    return {
        "name": name,
        "texts": [
            {
                "messages": [{"role": message.role, "content": message.content} for message in text.messages],
                "text": text.text,
                "value": text.value,
                "weight": text.weight,
            }
            for text in texts
        ],
        "people": {
            person: [{"text": rating.text_index, "value": rating.value} for rating in ratings]
            for person, ratings in people.items()
        },
    }


def fitted_object(name: str, fitted: TasteFitted) -> dict[str, Any]:
    """The answer to it."""
    return {
        "name": name,
        "texts": fitted.texts,
        "people": fitted.people,
        "auroc": fitted.auroc,
        "seconds": fitted.seconds,
    }


def read_fitted(answer: Mapping[str, Any]) -> TasteFitted:
    """The answer, as a client reads it; KeyError, TypeError or ValueError if it is something else."""
    auroc = answer["auroc"]
    return TasteFitted(
        texts=int(answer["texts"]),
        people=int(answer["people"]),
        auroc=None if auroc is None else float(auroc),
        seconds=float(answer["seconds"]),
    )


MAX_STOP_STRINGS = 16
MAX_TIMEOUT_SECONDS = 86_400.0

_ERROR_TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}


class _StreamOptions(Body):
    include_usage: bool = False


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _ChatBody(Body):
    """Every optional field may also be null, which means its default."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]] | None, BeforeValidator(_as_list)] = Field(
        default=None, max_length=MAX_STOP_STRINGS
    )
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    user: Name | None = None
    safety_identifier: Name | None = None
    best_of: int | None = None
    taste: Name | None = None
    taste_user: Name | None = None
    explore: float | None = None


class _LoadBody(Body):
    lora_name: str
    lora_path: Annotated[str, Field(pattern=r"^[^\x00]*$")]


class _UnloadBody(Body):
    lora_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion as asked for."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    fills_context: bool
    """No number of tokens was given: the answer may take what the prompt leaves of the context."""
    is_stream: bool
    includes_usage: bool
    user: str | None = None
    """For whom it is asked, in the caller's words; OpenAI's newer name for it is `safety_identifier`."""
    choosing: Choosing


@dataclass(frozen=True, slots=True)
class AdapterRequest:
    """An adapter to load (with its folder) or to unload."""

    name: str
    path: str = ""


def parse_chat(body: bytes) -> ChatRequest:
    """Read the body of `POST /v1/chat/completions`.

    Raises:
        RequestError: it is not JSON, or a field is missing, of the wrong type or out of range.
    """
    chat = parsed(body, _ChatBody)
    max_tokens = chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens
    given = {
        "max_tokens": MAX_NEW_TOKENS if max_tokens is None else max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "top_k": 0 if chat.top_k == -1 else chat.top_k,
        "min_p": chat.min_p,
        "repetition_penalty": chat.repetition_penalty,
        "seed": chat.seed,
        "stop": None if chat.stop is None else tuple(map(clean, chat.stop)),
        "ignore_eos": chat.ignore_eos,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return ChatRequest(
        model=chat.model,
        messages=tuple(turn.message() for turn in chat.messages),
        sampling=Sampling(**options),
        fills_context=max_tokens is None,
        is_stream=bool(chat.stream),
        includes_usage=chat.stream_options is not None and chat.stream_options.include_usage,
        user=chat.safety_identifier or chat.user or None,
        choosing=Choosing(
            best_of=1 if chat.best_of is None else chat.best_of,
            taste=chat.taste,
            person=chat.taste_user,
            explore=chat.explore or 0.0,
        ),
    )


def parse_timeout(header: str | None) -> float | None:
    """Read the header `X-Server-Timeout`: how many seconds the answer may take in all; None: as long as it takes.

    Raises:
        RequestError: it is not a number above 0 and at most a day.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise RequestError(f"X-Server-Timeout is {header!r}, but it must be a number of seconds, at most a day's.")
    return seconds


def parse_load(body: bytes) -> AdapterRequest:
    """Read the body of `POST /v1/load_lora_adapter`; RequestError if it is malformed."""
    load = parsed(body, _LoadBody)
    return AdapterRequest(load.lora_name, load.lora_path)


def parse_unload(body: bytes) -> AdapterRequest:
    """Read the body of `POST /v1/unload_lora_adapter`; RequestError if it is malformed."""
    return AdapterRequest(parsed(body, _UnloadBody).lora_name)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written, of all texts of the request, as OpenAI counts them."""

    prompt_tokens: int
    completion_tokens: int
    best_of: int = 1
    """How many texts the answer was chosen from."""

    def json(self) -> dict[str, int]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Completion:
    """The envelope of one answer: the same id, time and model in all of its chunks."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish_reason: FinishReason, usage: Usage) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion", [choice], usage=usage.json(), best_of=usage.best_of)

    def first_chunk(self) -> bytes:
        """The event that opens a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def text_chunk(self, text: str) -> bytes:
        """An event with more text."""
        return self._chunk({"content": text})

    def last_chunk(self, finish_reason: FinishReason, best_of: int) -> bytes:
        """The event that says why the text ends, and how many it was chosen from."""
        return self._chunk({}, finish_reason, best_of=best_of)

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event with the usage and no choices."""
        return sse(self._object("chat.completion.chunk", [], usage=usage.json(), best_of=usage.best_of))

    def _chunk(self, delta: dict[str, str], finish_reason: FinishReason | None = None, **more: int) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse(self._object("chat.completion.chunk", [choice], **more))

    def _object(self, kind: str, choices: Sequence[dict[str, Any]], **more: object) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices} | more


SSE_DONE = b"data: [DONE]\n\n"


def sse(value: dict[str, Any]) -> bytes:
    """One server-sent event, in ASCII, since some clients break lines at any Unicode line separator."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def error_object(message: str, *, status: int, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error")
    code = "model_not_found" if status == 404 else None
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
