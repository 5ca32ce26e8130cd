"""The HTTP API's wire format: OpenAI's chat completions and moderations, vLLM's extras and adapter calls.

Request bodies are pydantic models: fields that they know must have the right type, fields that others know and that
would change the answer are refused by name (`_NOT_DONE`), and the rest is ignored. What the server writes and the
client reads stands side by side.
"""

import json
import math
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.api.types import (
    MAX_NEW_TOKENS,
    MAX_TEXTS,
    FinishReason,
    Message,
    Role,
    Sampling,
    TokenLogprob,
    WrittenText,
)
from engine.errors import RequestError, first_problem
from engine.foreign_json import read_json

OWNER: Final = "ovation"
"""Whose the models are, by the list of them: so a client knows our own engine."""
_LEAST_LOGPROB = -9999.0
"""OpenAI's, for what is impossible: JSON has no infinity."""
_MAX_STOP_STRINGS = 16
_MOST_TURNS = 8192
"""More than there are in a day's conversation; each costs as much as some tens of characters."""
_MAX_TIMEOUT_SECONDS = 86_400.0
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_SAMPLING_FIELDS = tuple(each.name for each in fields(Sampling))
_ERROR_TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}

ANSWER_FAILED: Final = "answer_failed"
"""The code of an error that is this answer's alone: the engine goes on."""
_ERROR_CODES = {404: "model_not_found", 500: ANSWER_FAILED}


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Name = Annotated[str, Field(max_length=256)]
"""Somebody or something, in the caller's words."""
_Text = Annotated[str, AfterValidator(clean)]
_Words = Annotated[str, Field(min_length=1)]
_FewWords = Annotated[list[_Words], Field(max_length=_MAX_STOP_STRINGS, fail_fast=True)]
_Value = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]


class Body(BaseModel):
    """What all bodies and their parts have in common."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


AnyBody = TypeVar("AnyBody", bound=Body)


def parse(body: bytes, kind: type[AnyBody]) -> AnyBody:
    """Read a body.

    Raises:
        RequestError: it is not JSON, or a field is missing or of the wrong type; the sentence names it.
    """
    try:
        value = read_json(body)  # not pydantic's JSON reader, which refuses lone surrogates
    except ValueError as error:
        raise RequestError(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object.")
    if kind is ChatRequest:
        _refuse_what_is_not_done(value)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        field = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise RequestError(f"{first_problem(error, 'the body')}.", param=field or None) from error


# Chat completions


class _Part(Body):
    type: str
    text: str = ""


class Turn(Body):
    """One turn of a conversation, as OpenAI has it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_Part], Field(fail_fast=True)] | None = None
    tool_calls: Any = None
    function_call: Any = None


def _conversation(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """The turns as messages; RequestError if one holds anything but text."""
    messages = []
    for turn in turns:
        parts = turn.content if isinstance(turn.content, list) else [_Part(type="text", text=turn.content or "")]
        if any(part.type != "text" for part in parts):
            raise RequestError(
                "messages: this model reads text only; leave out parts of other types.", param="messages"
            )
        if turn.tool_calls or turn.function_call:
            raise RequestError("messages: this server knows no tools; leave out calls of them.", param="messages")
        messages.append(Message(_ROLES[turn.role], clean("".join(part.text for part in parts))))
    return tuple(messages)


class _StreamOptions(Body):
    include_usage: bool = False


_NOTHING: Final[Sequence[object]] = (None, False, 0, "", [], {})
_NOT_DONE: Final[Mapping[str, Sequence[object]]] = {
    "tools": (), "tool_choice": ("none", "auto"), "functions": (), "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},), "logit_bias": (), "audio": (), "modalities": (["text"],),
    "prediction": (), "web_search_options": (), "reasoning_effort": ("none",), "verbosity": ("medium",),
    "service_tier": ("auto", "default"), "store": (), "moderation": (),
    # of vLLM, llama.cpp and others
    "best_of": (1,), "use_beam_search": (), "length_penalty": (1.0,), "min_tokens": (), "bad_words": (),
    "stop_token_ids": (), "allowed_token_ids": (), "logits_processors": (), "prompt_logprobs": (), "echo": (),
    "add_generation_prompt": (True,), "continue_final_message": (), "chat_template": (), "chat_template_kwargs": (),
    "include_stop_str_in_output": (), "skip_special_tokens": (True,), "documents": (), "guided_json": (),
    "guided_regex": (), "guided_choice": (), "guided_grammar": (), "structured_outputs": (), "grammar": (),
    "json_schema": (), "mirostat": (), "typical_p": (1.0,), "no_repeat_ngram_size": (),
}  # fmt: skip
"""Fields that would change the answer and are not done, with the values by which they do not, beside `_NOTHING`."""


def _refuse_what_is_not_done(body: Mapping[str, object]) -> None:
    for name in _NOT_DONE.keys() & body.keys():
        if body[name] not in (*_NOTHING, *_NOT_DONE[name]):
            raise RequestError(f"{name}: this server does not do that; leave it out.", param=name)


def _cleaned(words: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(map(clean, words))


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ChatRequest(Body):
    """The body of `POST /v1/chat/completions`. Every optional field may also be null, which means its default."""

    model: str
    messages: list[Turn] = Field(min_length=1, max_length=_MOST_TURNS, fail_fast=True)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_sequence_breakers: _FewWords | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    stop: Annotated[_FewWords | None, BeforeValidator(_as_list)] = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_TEXTS)] | None = None
    user: Name | None = None
    safety_identifier: Name | None = None
    """OpenAI's newer name for `user`."""
    spare_seconds: Annotated[float, Field(ge=0.0, le=_MAX_TIMEOUT_SECONDS)] | None = None
    """Ours: of the `n` texts all but the first are spare. They are written while nobody waits, as many as keep the
    answer within so many seconds, and each comes in one piece; so there may be fewer than `n`, but never none."""

    @property
    def limit(self) -> int:
        """The most new tokens, if the context has room for them."""
        limits = (self.max_completion_tokens, self.max_tokens, MAX_NEW_TOKENS)
        return min(next(limit for limit in limits if limit is not None), MAX_NEW_TOKENS)

    def conversation(self) -> tuple[Message, ...]:
        """The messages; RequestError if one holds anything but text."""
        return _conversation(self.messages)

    def sampling(self) -> Sampling:
        """RequestError if a value is out of range."""
        if self.top_logprobs and not self.logprobs:
            raise RequestError("top_logprobs: they are told only with logprobs=true.", param="top_logprobs")
        given: dict[str, Any] = {name: getattr(self, name) for name in _SAMPLING_FIELDS} | {
            "max_tokens": self.limit,
            "top_logprobs": (self.top_logprobs or 0) if self.logprobs else None,
            "top_k": 0 if self.top_k == -1 else self.top_k,
            "stop": _cleaned(self.stop),
            "dry_sequence_breakers": _cleaned(self.dry_sequence_breakers),
        }
        return Sampling(**{name: value for name, value in given.items() if value is not None})


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
    if not 0 < seconds <= _MAX_TIMEOUT_SECONDS:
        raise RequestError(f"X-Server-Timeout is {header!r}, but it must be a number of seconds, at most a day's.")
    return seconds


@dataclass(frozen=True, slots=True)
class Completion:
    """The envelope of one answer: the same id, time and model in all of its chunks."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, texts: Sequence[WrittenText], **usage: int) -> dict[str, Any]:
        """The answer in one piece; `usage` is as for `usage_chunk`."""
        choices = [
            _choice(
                index,
                each.finish_reason,
                each.tokens,
                each.logprobs,
                message={"role": "assistant", "content": each.text},
            )
            for index, each in enumerate(texts)
        ]
        return self._object("chat.completion", choices) | _usage(**usage)

    def chunk(
        self,
        finish_reason: FinishReason | None = None,
        *,
        index: int = 0,
        tokens: int | None = None,
        logprobs: Sequence[TokenLogprob] = (),
        **delta: str,
    ) -> bytes:
        """An event with more of one text's message; its last says why it ends, and how many tokens it has."""
        choice = _choice(index, finish_reason, tokens, logprobs, delta=delta)
        return sse(self._object("chat.completion.chunk", [choice]))

    def usage_chunk(self, **usage: int) -> bytes:
        """The event with no choices: `prompt_tokens`, and `completion_tokens` of all texts of the request."""
        return sse(self._object("chat.completion.chunk", []) | _usage(**usage))

    def _object(self, kind: str, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def _choice(
    index: int,
    finish_reason: FinishReason | None,
    tokens: int | None,
    logprobs: Sequence[TokenLogprob],
    **content: object,
) -> dict[str, Any]:
    """OpenAI's choice, and beside it the text's tokens, which OpenAI counts over all choices only."""
    more = {} if tokens is None else {"tokens": tokens}
    told = None
    if logprobs:
        each = [_logprob(token) | {"top_logprobs": [_logprob(other) for other in token.top]} for token in logprobs]
        told = {"content": each, "refusal": None}
    return {"index": index, **content, "logprobs": told, "finish_reason": finish_reason} | more


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    """A token as OpenAI tells of it; its bytes only where it is whole characters."""
    is_whole = "\ufffd" not in token.token
    return {
        "token": token.token,
        "logprob": max(token.logprob, _LEAST_LOGPROB),
        "bytes": list(token.token.encode()) if is_whole else None,
    }


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    tokens = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {"usage": tokens | {"total_tokens": prompt_tokens + completion_tokens}}


SSE_DONE: Final = b"data: [DONE]\n\n"
SSE_WORKING: Final = b": writing\n\n"
"""The comment of a stream that has its turn and nothing to show yet, so that nobody takes it for dead."""


def sse(value: dict[str, Any]) -> bytes:
    """One server-sent event, in ASCII, since some clients break lines at any Unicode line separator."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def sse_queued(ahead: int) -> bytes:
    """The comment of a stream that waits: so many requests get their turn before this one.

    Every reader of events skips comments, the official OpenAI client too; ours listens.
    """
    return b": queued %d\n\n" % ahead


def error_object(message: str, *, status: int, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object; `param` is the field of the request that is wrong."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": _ERROR_CODES.get(status)}}


# Adapters


class LoadRequest(Body):
    """The body of `POST /v1/load_lora_adapter`."""

    lora_name: str
    lora_path: Annotated[str, Field(pattern=r"^[^\x00]*$")]


class UnloadRequest(Body):
    """The body of `POST /v1/unload_lora_adapter`."""

    lora_name: str


# Moderations and the watermark


class TextRequest(Body):
    """The body of `POST /v1/moderations` and of our `POST /v1/watermark`: a text to judge."""

    input: _Text


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
