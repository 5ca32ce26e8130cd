"""What servers answer, read: chunks, whole completions, refusals. JSON of another shape ends here as an exception, and
so do those of httpx, as ours.

Knows OpenAI's wire format and how servers say no. Sends nothing.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from httpx_sse import SSEError

from engine.api.chat import FinishReason, Reply
from engine.api.queue_news import heard
from engine.errors import EngineBusy, EngineUnavailable, RequestError

UNREADABLE: Final = "The engine's answer cannot be read; is the address that of an OpenAI-compatible server?"

_DEFAULT_RETRY_SECONDS = 1.0


class Failed(EngineUnavailable):
    """The server says that it failed."""


@dataclass(slots=True)
class Answer:
    """A reply in the making, from chunks or from one whole completion."""

    model: str
    pieces: list[str] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    has_ended: bool = False
    """Whether a reason was given; not every server says [DONE] after it."""
    usage: dict[str, int] = field(default_factory=dict)
    best_of: int = 1

    def take(self, chunk: dict[str, Any]) -> str:
        """Add a chunk (or a whole completion) and return its text."""
        if "error" in chunk:
            raise EngineUnavailable(f"The engine broke off: {_message_of(chunk)}")
        with readable():
            self.usage = chunk.get("usage") or self.usage
            self.best_of = int(chunk.get("best_of") or self.best_of)
            text = ""
            for choice in chunk["choices"]:
                text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
                self.has_ended = self.has_ended or bool(choice.get("finish_reason"))
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
            best_of=self.best_of,
        )


class Overheard(httpx.AsyncByteStream):
    """A response's bytes on their way to the reader of events; `on_queued` hears each number."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, on_queued: Callable[[int], None]) -> None:
        assert isinstance(stream, httpx.AsyncByteStream), "only asynchronous clients listen"
        self._stream = stream
        self._on_queued = on_queued

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            for ahead in heard(part):
                self._on_queued(ahead)
            yield part

    async def aclose(self) -> None:
        """Close what is listened to."""
        await self._stream.aclose()


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """JSON of another shape than OpenAI's as EngineUnavailable."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineUnavailable(UNREADABLE) from error


def parsed(text: str) -> dict[str, Any]:
    """A JSON object; EngineUnavailable if it is none."""
    with readable():
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


@contextlib.contextmanager
def translated() -> Iterator[None]:
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
        raise EngineUnavailable(UNREADABLE) from error


async def raise_for_status(response: httpx.Response) -> None:
    """The server's refusal as an exception with its own words."""
    if response.is_success:
        return
    await response.aread()
    try:
        message = _message_of(json.loads(response.text))
    except ValueError:
        message = f"The engine answered with status {response.status_code}."
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise EngineBusy(message, retry_after_seconds=_retry_after(response))
    if response.is_client_error or response.status_code == httpx.codes.NOT_IMPLEMENTED:
        raise RequestError(message, status=response.status_code)
    raise Failed(message) if response.status_code == httpx.codes.INTERNAL_SERVER_ERROR else EngineUnavailable(message)


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
