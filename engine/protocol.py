"""The OpenAI-compatible wire format: request bodies checked and translated, answers and errors as JSON.

Knows field names, defaults and vLLM's extras. Knows nothing of models, HTTP servers or the engine. Fields that it
does not know are ignored, as OpenAI's server ignores them; fields that it knows must have the right type.
"""

import json
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.chat import MAX_NEW_TOKENS, FinishReason, Message, Role, Sampling
from engine.errors import RequestError

MAX_STOP_STRINGS = 16

MAX_USER_CHARACTERS = 256
MAX_TIMEOUT_SECONDS = 86_400.0

_ERROR_TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


Body = TypeVar("Body", bound=_Body)


class _Part(_Body):
    type: str
    text: str = ""


class _Turn(_Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None


class _StreamOptions(_Body):
    include_usage: bool = False


_User = Annotated[str | None, Field(max_length=MAX_USER_CHARACTERS)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _ChatBody(_Body):
    """Every optional field may also be null, which means its default."""

    model: str
    messages: list[_Turn] = Field(min_length=1)
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
    user: _User = None
    safety_identifier: _User = None


class _LoadBody(_Body):
    lora_name: str
    lora_path: Annotated[str, Field(pattern=r"^[^\x00]*$")]


class _UnloadBody(_Body):
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
    chat = _parse(body, _ChatBody)
    max_tokens = chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens
    given = {
        "max_tokens": MAX_NEW_TOKENS if max_tokens is None else max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "top_k": 0 if chat.top_k == -1 else chat.top_k,
        "min_p": chat.min_p,
        "repetition_penalty": chat.repetition_penalty,
        "seed": chat.seed,
        "stop": None if chat.stop is None else tuple(map(_clean, chat.stop)),
        "ignore_eos": chat.ignore_eos,
    }
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return ChatRequest(
        model=chat.model,
        messages=tuple(_message(turn) for turn in chat.messages),
        sampling=Sampling(**options),
        fills_context=max_tokens is None,
        is_stream=bool(chat.stream),
        includes_usage=chat.stream_options is not None and chat.stream_options.include_usage,
        user=chat.safety_identifier or chat.user or None,
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
    load = _parse(body, _LoadBody)
    return AdapterRequest(load.lora_name, load.lora_path)


def parse_unload(body: bytes) -> AdapterRequest:
    """Read the body of `POST /v1/unload_lora_adapter`; RequestError if it is malformed."""
    return AdapterRequest(_parse(body, _UnloadBody).lora_name)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int

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
        return self._object("chat.completion", [choice], usage=usage.json())

    def first_chunk(self) -> bytes:
        """The event that opens a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def text_chunk(self, text: str) -> bytes:
        """An event with more text."""
        return self._chunk({"content": text})

    def last_chunk(self, finish_reason: FinishReason) -> bytes:
        """The event that says why the text ends."""
        return self._chunk({}, finish_reason)

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event with the usage and no choices."""
        return sse(self._object("chat.completion.chunk", [], usage=usage.json()))

    def _chunk(self, delta: dict[str, str], finish_reason: FinishReason | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse(self._object("chat.completion.chunk", [choice]))

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


def _parse(body: bytes, kind: type[Body]) -> Body:
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


def _message(turn: _Turn) -> Message:
    parts = [_Part(type="text", text=turn.content or "")] if not isinstance(turn.content, list) else turn.content
    if any(part.type != "text" for part in parts):
        raise RequestError("messages: this model reads text only; leave out parts of other types.")
    return Message(_ROLES[turn.role], _clean("".join(part.text for part in parts)))


def _clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
