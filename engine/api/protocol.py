"""The OpenAI-compatible wire format: request bodies checked and translated, answers and errors as JSON.

Knows field names, defaults, vLLM's extras and ours. Knows nothing of models, HTTP servers or the engine.
"""

import json
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from engine.api.bodies import Body, Name, Turn, clean, parsed
from engine.api.chat import MAX_NEW_TOKENS, FinishReason, Message, Sampling
from engine.api.tasting import Choosing
from engine.errors import RequestError

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
