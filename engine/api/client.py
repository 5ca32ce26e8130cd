"""What servers answer, read: chunks, whole completions, refusals. JSON of another shape ends here as an exception, and
so do those of httpx, as ours.

Knows OpenAI's wire format and how servers say no. Sends nothing.

What servers of other makes want otherwise: their name for the base, fields they do not know, refused adapters.

Knows what a server has said in answer to a request. Sends nothing itself; that is `engine.api.client`'s.

A client for our engine, for vLLM, and for any other server that speaks OpenAI's chat completions.

Knows HTTP and the wire format, torch-free. Knows nothing of models, chats or people. Only OpenAI's own fields are
sent unless a request uses more than they can say, so that strict servers work too; what a server still does not know
is learned from its refusal (`engine.api.client`). Exceptions of httpx end here.
"""

import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
from httpx_sse import EventSource, SSEError, aconnect_sse

from engine.api.models import version_name
from engine.api.protocol import heard, read_fitted, read_moderation, taste_object
from engine.api.types import FinishReason, Message, PersonalRating, RatedText, Reply, Sampling, TasteFitted
from engine.errors import EngineBusy, EngineError, EngineUnavailable, ModelError, NoAdapters, NoTaste, RequestError

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


logger = logging.getLogger(__name__)

ALREADY_LOADED: Final = "already been"
"""vLLM's words, with and without a space after them; names of versions are never used twice, so all is well."""

_CHOOSING = frozenset({"best_of", "taste", "taste_user", "explore"})
"""Fields of ours that mean something together only."""
_DISPENSABLE = ("stream_options", "user", "seed", "top_k", "min_p", "repetition_penalty", "ignore_eos", *_CHOOSING)
"""Fields without which a request still means the same: a server that knows one of them not is asked without it."""
_UNKNOWN_FIELD = re.compile(
    r"unexpected|unknown|unrecogni[sz]ed|unsupported|extra|not (permitted|supported|allowed)", re.IGNORECASE
)
_NO_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


class Dialect:
    """One server's ways, learned as it refuses what is not among them."""

    def __init__(self, base: str = "") -> None:
        self._base = base
        self._refused: set[str] = set()

    @property
    def base(self) -> str:
        """Our name for the server's base, the same whichever server has it."""
        return version_name(self._base)

    def translated(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body as this server wants it."""
        model = self._base if self._base and body["model"] == self.base else body["model"]
        return {name: value for name, value in body.items() if name not in self._refused} | {"model": model}

    def learns_from(self, refusal: RequestError, body: dict[str, Any]) -> bool:
        """Whether the server refused `body` for fields that it can do without; it gets them no more."""
        words = str(refusal)
        if not _UNKNOWN_FIELD.search(words):
            return False
        unknown = {name for name in _DISPENSABLE if name in body and re.search(rf"\b{name}\b", words)}
        if unknown & _CHOOSING:
            unknown |= _CHOOSING
        if unknown:
            logger.warning("the engine does not know %s; requests go without", ", ".join(sorted(unknown)))
        self._refused |= unknown
        return bool(unknown)


def named_like(model: str, names: tuple[str, ...]) -> str | None:
    """The name among a server's that means MODEL, which may be a folder or hub id of the same last part."""
    return next((name for name in names if version_name(name) == version_name(model)), None)


def refused_adapter(words: str, status: int) -> ModelError:
    """A server's answer to an adapter as an exception: `NoAdapters` where the server has to be started otherwise.

    vLLM has no such path unless it was told to, and answers 404 too, with other words, where it sees no such folder.
    """
    if "No adapter found" in words:
        return NoAdapters(f"{words.rstrip('.')}; the server must see DATA_DIR under the same path as the bot.")
    if status in _NO_ROUTE or "LoRA is not enabled" in words:
        return NoAdapters(
            "The server does not load adapters while it runs; start vLLM with --enable-lora and"
            " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
        )
    return ModelError(words)


def refused_taste(words: str, status: int) -> RequestError:
    """A server's answer to rated texts as an exception: `NoTaste` where it knows nothing of the kind."""
    if status in _NO_ROUTE:
        return NoTaste("The server learns no taste; only Ovation's own engine does.", status=status)
    return RequestError(words, status=status)


CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 120.0
"""Longest silence before the first token, or between two: a full queue may stand before us."""
LOAD_SECONDS: Final = 120.0
FIT_SECONDS: Final = 600.0
"""Reading thousands of texts with a large model, between other people's."""
HEALTH_SECONDS: Final = 2.0


class EngineClient:
    """One server. `http` is the caller's, who closes it; headers such as an API key are set there.

    `base_url` is the server's root, with or without `/v1`.
    """

    def __init__(self, base_url: str, *, http: httpx.AsyncClient) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._http = http
        self._dialect = Dialect()

    async def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        model: str,
        user: str | None = None,
        on_queued: Callable[[int], None] = lambda _: None,
        best_of: int = 1,
        taste: str | None = None,
        taste_user: str | None = None,
        explore: float = 0.0,
    ) -> AsyncGenerator[str | Reply, None]:
        """The answer's text piece by piece, and last the whole `Reply`.

        `user` says whose request it is, so that a server can be fair. While the request waits for its turn,
        `on_queued` hears now and then how many are before it, if the server tells. Close the generator
        (`contextlib.aclosing`) to stop early: the server then stops writing. The reply's usage is 0 where the server
        does not tell.

        Up to `best_of` texts (16 at most) are written and compared, and the one that `taste` likes most comes in one
        piece: for the person `taste_user`, if it knows them; with the chance `explore`, by a draw from what the taste
        may be. Our engine takes fewer where others would wait, and one where it has no such taste; the reply's
        `best_of` tells. Other servers write one.

        Raises:
            EngineBusy: the server's queue is full.
            RequestError: the server refuses the request (status 404: it has no such model).
            EngineUnavailable: it cannot be reached, is silent for too long, or broke off in the middle.
        """
        answer = Answer(model)
        body = _body(messages, sampling, model) | {"stream": True, "stream_options": {"include_usage": True}}
        if user is not None:
            body["user"] = user
        if best_of > 1:
            choosing = {"best_of": best_of, "taste": taste, "taste_user": taste_user, "explore": explore}
            body |= {name: value for name, value in choosing.items() if value}
        with translated():
            async with self._opened(body) as events:
                events.response.stream = Overheard(events.response.stream, on_queued)
                is_done = False
                async for event in events.aiter_sse():  # to its very end, so that the connection can be used again
                    is_done = is_done or event.data == "[DONE]"
                    if not is_done and (text := answer.take(parsed(event.data))):
                        yield text
        if not (is_done or answer.has_ended):
            raise EngineUnavailable("The engine broke off in the middle of its answer; ask again.")
        yield answer.reply()

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, model: str) -> Reply:
        """The whole answer at once; raises as `stream` does."""
        body = _body(messages, sampling, model)
        while True:
            said = self._dialect.translated(body)
            try:
                response = await self._send("POST", "/v1/chat/completions", said, ANSWER_SECONDS)
                break
            except RequestError as refusal:
                if not self._dialect.learns_from(refusal, said):
                    raise
        answer = Answer(model)
        answer.take(parsed(response.text))
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
        once = {"Connection": "close"}  # a server that fails to list them hangs up without a word
        response = await self._send("GET", "/v1/models", None, HEALTH_SECONDS, headers=once)
        with readable():
            entries = parsed(response.text)["data"]
            names = [(entry.get("parent") is not None, str(entry["id"])) for entry in entries]
        if not names:
            raise Failed("The engine serves no model; start it with one.")
        return tuple(name for _, name in sorted(names, key=lambda named: named[0]))

    async def find_base(self, model: str = "") -> str:
        """Learn what the server calls its base; returns our name for it, by which requests may ask for it.

        `model` is what MODEL says. It picks among the names that the server lists; where the list has it not, as that
        of `transformers serve`, it is asked for by itself. Without it the first of the list is the base.

        Raises:
            EngineUnavailable: the server cannot be reached, or has nothing of that name.
        """
        try:
            names = await self.models()
        except (Failed, RequestError):  # it has no list to show
            if not model:
                raise
            names = ()
        listed = named_like(model, names) if model else names[0]
        self._dialect = Dialect(listed or await self._tried(model, names))
        return self._dialect.base

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load the version in `folder`, a path on the server's machine; requests may then name it.

        Raises:
            NoAdapters: the server was not started so that it could load it.
            ModelError: the server refuses the adapter; what served before serves on.
            EngineUnavailable: the server cannot be reached.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            await self._send("POST", "/v1/load_lora_adapter", body, LOAD_SECONDS)
        except RequestError as error:
            if ALREADY_LOADED not in str(error):
                raise refused_adapter(str(error), error.status) from error
        except Failed as error:  # vLLM's word for an adapter that does not fit, or an engine that dies
            if not await self.is_ready():
                raise
            raise refused_adapter(str(error), httpx.codes.INTERNAL_SERVER_ERROR) from error

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
                raise refused_adapter(str(error), error.status) from error

    async def moderate(self, text: str) -> frozenset[str]:
        """The categories of what the server's guard model finds in a text.

        Raises:
            EngineError: the server has no guard, cannot be reached, or the guard's answer cannot be read.
        """
        response = await self._send("POST", "/v1/moderations", {"input": text}, ANSWER_SECONDS)
        with readable():
            return read_moderation(parsed(response.text))

    async def look_for_watermark(self, text: str) -> float | None:
        """How often a text without the server's watermark shows as much of it; None for a text that is too short.

        Raises:
            EngineError: the server marks nothing, or cannot be reached.
        """
        response = await self._send("POST", "/v1/watermark", {"input": text}, ANSWER_SECONDS)
        with readable():
            p_value = parsed(response.text)["p_value"]
            return None if p_value is None else float(p_value)

    async def fit_taste(
        self, name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
    ) -> TasteFitted:
        """Let the server learn the taste `name` anew from rated texts; without texts, forget it.

        `people` has what single persons think of some of the texts: who has rated six or more of them gets a taste of
        their own. The server knows them by these names only.

        Raises:
            NoTaste: the server is of another make and learns none.
            RequestError: nothing can be learned from these ratings; the sentence says why.
            EngineUnavailable: the server cannot be reached, or has not answered in time.
        """
        try:
            response = await self._send("POST", "/v1/taste", taste_object(name, texts, people), FIT_SECONDS)
        except RequestError as error:
            raise refused_taste(str(error), error.status) from error
        with readable():
            return read_fitted(parsed(response.text))

    async def _tried(self, model: str, names: Sequence[str]) -> str:
        """`model` if the server answers to it, or else the first of the names."""
        unbiased = EngineClient(self._root, http=self._http)  # requests under way go on in the dialect learned before
        try:
            await unbiased.complete([Message("user", "Hello")], Sampling(max_tokens=1), model=model)
        except EngineError as error:
            if names and isinstance(error, RequestError):
                return names[0]
            raise EngineUnavailable(f"The engine does not answer as MODEL={model}: {error}") from error
        return model

    @contextlib.asynccontextmanager
    async def _opened(self, body: dict[str, Any]) -> AsyncIterator[EventSource]:
        """The events of an answer that has begun."""
        url = f"{self._root}/v1/chat/completions"
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        while True:
            said = self._dialect.translated(body)
            async with aconnect_sse(self._http, "POST", url, json=said, timeout=timeout) as events:
                try:
                    await raise_for_status(events.response)
                except RequestError as refusal:
                    if self._dialect.learns_from(refusal, said):
                        continue
                    raise
                yield events
                return

    async def _get(self, path: str) -> httpx.Response:
        with translated():
            return await self._http.get(self._root + path, timeout=HEALTH_SECONDS)

    async def _send(
        self, method: str, path: str, body: object, seconds: float, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        with translated():
            response = await self._http.request(method, self._root + path, json=body, timeout=timeout, headers=headers)
        await raise_for_status(response)
        return response


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
