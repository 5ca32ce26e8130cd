"""A client for our engine, for vLLM, and for any other server that speaks OpenAI's chat completions.

Knows HTTP and the wire format, torch-free. Knows nothing of models, chats or people. Only OpenAI's own fields are
sent unless a request uses more than they can say, so that strict servers work too. Exceptions of httpx end here.
"""

import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from httpx_sse import SSEError, aconnect_sse

from engine.chat import FinishReason, Message, Reply, Sampling
from engine.errors import EngineBusy, EngineUnavailable, ModelError, RequestError

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 120.0
"""Longest silence before the first token, or between two: a full queue may stand before us."""
LOAD_SECONDS: Final = 120.0
HEALTH_SECONDS: Final = 2.0

_DEFAULT_RETRY_SECONDS = 1.0
_ALREADY_LOADED = "already been loaded"  # vLLM's words; names of versions are never used twice, so all is well
_UNREADABLE = "The engine's answer cannot be read; is the address that of an OpenAI-compatible server?"


class EngineClient:
    """One server. `http` is the caller's, who closes it; headers such as an API key are set there.

    `base_url` is the server's root, with or without `/v1`.
    """

    def __init__(self, base_url: str, *, http: httpx.AsyncClient) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._http = http

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, model: str
    ) -> AsyncGenerator[str | Reply, None]:
        """The answer's text piece by piece, and last the whole `Reply`.

        Close it (`contextlib.aclosing`) to stop early: the server then stops writing. The reply's usage is 0 where
        the server does not tell.

        Raises:
            EngineBusy: the server's queue is full.
            RequestError: the server refuses the request (status 404: it has no such model).
            EngineUnavailable: it cannot be reached, is silent for too long, or broke off in the middle.
        """
        answer = _Answer(model)
        body = _body(messages, sampling, model) | {"stream": True, "stream_options": {"include_usage": True}}
        url = f"{self._root}/v1/chat/completions"
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        with _translated():
            async with aconnect_sse(self._http, "POST", url, json=body, timeout=timeout) as events:
                await _raise_for_status(events.response)
                is_whole = False
                async for event in events.aiter_sse():  # to its very end, so that the connection can be used again
                    is_whole = is_whole or event.data == "[DONE]"
                    if not is_whole and (text := answer.take(_json(event.data))):
                        yield text
        if not is_whole:
            raise EngineUnavailable("The engine broke off in the middle of its answer; ask again.")
        yield answer.reply()

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, model: str) -> Reply:
        """The whole answer at once; raises as `stream` does."""
        response = await self._send("POST", "/v1/chat/completions", _body(messages, sampling, model), ANSWER_SECONDS)
        answer = _Answer(model)
        answer.take(_json(response.text))
        return answer.reply()

    async def is_ready(self) -> bool:
        """Whether the server would answer a request now. Servers without `/health` are asked for their models."""
        try:
            response = await self._get("/health")
            if response.status_code == httpx.codes.NOT_FOUND:
                response = await self._get("/v1/models")
        except EngineUnavailable:
            return False
        return response.is_success

    async def models(self) -> tuple[str, ...]:
        """What requests may name, the base first.

        Raises:
            EngineUnavailable: the server cannot be reached or is not of this kind.
        """
        response = await self._send("GET", "/v1/models", None, HEALTH_SECONDS)
        with _readable():
            entries = _json(response.text)["data"]
            names = [(entry.get("parent") is not None, str(entry["id"])) for entry in entries]
        if not names:
            raise EngineUnavailable("The engine serves no model; start it with one.")
        return tuple(name for _, name in sorted(names, key=lambda named: named[0]))

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load the version in `folder`, a path on the server's machine; requests may then name it.

        Raises:
            ModelError: the server refuses the adapter, or to load any; what served before serves on.
            EngineUnavailable: the server cannot be reached.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            await self._send("POST", "/v1/load_lora_adapter", body, LOAD_SECONDS)
        except RequestError as error:
            if _ALREADY_LOADED not in str(error):
                raise ModelError(_why_not(error)) from error

    async def unload_adapter(self, name: str) -> None:
        """Forget a version; running requests are finished. One that is not loaded is no error.

        Raises:
            ModelError: the server does not unload adapters.
            EngineUnavailable: the server cannot be reached.
        """
        try:
            await self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name}, LOAD_SECONDS)
        except RequestError as error:
            if name in await self.models():
                raise ModelError(_why_not(error)) from error

    async def _get(self, path: str) -> httpx.Response:
        with _translated():
            return await self._http.get(self._root + path, timeout=HEALTH_SECONDS)

    async def _send(self, method: str, path: str, body: object, seconds: float) -> httpx.Response:
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        with _translated():
            response = await self._http.request(method, self._root + path, json=body, timeout=timeout)
        await _raise_for_status(response)
        return response


@dataclass(slots=True)
class _Answer:
    """A reply in the making, from chunks or from one whole completion."""

    model: str
    pieces: list[str] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    usage: dict[str, int] = field(default_factory=dict)

    def take(self, chunk: dict[str, Any]) -> str:
        """Add a chunk (or a whole completion) and return its text."""
        if "error" in chunk:
            raise EngineUnavailable(f"The engine broke off: {_message_of(chunk)}")
        with _readable():
            self.usage = chunk.get("usage") or self.usage
            text = ""
            for choice in chunk["choices"]:
                text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
                if choice.get("finish_reason") == "length":
                    self.finish_reason = "length"
        self.pieces.append(text)
        return text

    def reply(self) -> Reply:
        """The whole of it."""
        return Reply(
            text="".join(self.pieces),
            model=self.model,
            prompt_tokens=int(self.usage.get("prompt_tokens") or 0),
            completion_tokens=int(self.usage.get("completion_tokens") or 0),
            finish_reason=self.finish_reason,
        )


def _body(messages: Sequence[Message], sampling: Sampling, model: str) -> dict[str, Any]:
    """The request's fields; those that OpenAI does not know only when they say something."""
    extras = {
        "seed": sampling.seed,
        "stop": list(sampling.stop),
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty if sampling.repetition_penalty != 1.0 else None,
        "ignore_eos": sampling.ignore_eos,
    }
    return {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    } | {name: value for name, value in extras.items() if value or (name == "seed" and value is not None)}


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """httpx's exceptions as ours."""
    try:
        yield
    except httpx.ConnectError as error:
        raise EngineUnavailable("The engine cannot be reached; is it running?") from error
    except httpx.TimeoutException as error:
        raise EngineUnavailable("The engine did not answer in time; try again later.") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise EngineUnavailable("The connection to the engine broke; ask again.") from error
    except (SSEError, httpx.InvalidURL, httpx.DecodingError) as error:
        raise EngineUnavailable(_UNREADABLE) from error


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """JSON of another shape than OpenAI's as EngineUnavailable."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineUnavailable(_UNREADABLE) from error


def _json(text: str) -> dict[str, Any]:
    with _readable():
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


async def _raise_for_status(response: httpx.Response) -> None:
    """The server's refusal as an exception with its own words."""
    if response.is_success:
        return
    with _translated():
        await response.aread()
    try:
        message = _message_of(json.loads(response.text))
    except ValueError:
        message = f"The engine answered with status {response.status_code}."
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise EngineBusy(message, retry_after_seconds=_retry_after(response))
    if response.is_client_error:
        raise RequestError(message, status=response.status_code)
    raise EngineUnavailable(message)


def _message_of(value: object) -> str:
    """The sentence in an error object: OpenAI's, vLLM's older flat one, or FastAPI's `detail`."""
    if isinstance(value, dict):
        for key in ("error", "message", "detail"):
            if key in value:
                return _message_of(value[key])
    return str(value)


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(float(response.headers.get("Retry-After", "")), 0.0)
    except ValueError:
        return _DEFAULT_RETRY_SECONDS


def _why_not(error: RequestError) -> str:
    if error.status == httpx.codes.NOT_FOUND and str(error) == "Not Found":  # the path, not the adapter
        return (
            "The server does not load adapters while it runs; start vLLM with --enable-lora and"
            " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
        )
    return str(error)
