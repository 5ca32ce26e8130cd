"""A client for our engine, for vLLM, and for any other server that speaks OpenAI's chat completions.

Only OpenAI's own fields are sent unless a request uses more than they can say, so that strict servers work too; what a
server still does not know is learned from its refusal. Exceptions of httpx, and JSON of another shape, become ours.
"""

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from engine.api.models import version_name
from engine.api.protocol import OWNER, read_moderation
from engine.api.reading import Documents, PartialReply, ServerSays, documents_in, lines_of
from engine.api.refusals import Refusal
from engine.api.types import Message, Reply, Sampling, fold_system, seed_of
from engine.errors import (
    AnswerBroken,
    AnswerFailed,
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineUnavailable,
    ModelError,
    NoAdapters,
    RequestError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 120.0
"""Longest silence before the first token, or between two: a full queue may stand before us."""
LOAD_SECONDS: Final = 120.0
HEALTH_SECONDS: Final = 2.0
MOST_SIDE_BY_SIDE: Final = 8
"""So many requests at most stand in the place of one with `n`: a server that knows no `n` may answer one at a time."""
_USELESS_SECONDS = 300.0
"""So long a server may send signs of life and no text, where it does not say how many are before the request."""
MOST_USELESS: Final = 3
"""A server that answers with nothing of use so often in a row is not well, whatever it says of itself."""
_SAY_AGAIN_SECONDS = 600.0
_MOST_REMEMBERED = 64
_TAIL_SECONDS = 2.0
"""So long after the end of the last text is waited for the rest of the answer."""

_THINKING_MODEL = re.compile(
    r"(?<![a-z])(?:r1|qwq|qvq|think(?:ing)?|reason(?:er|ing)?|magistral)(?![a-z])", re.IGNORECASE
)
"""Names of models whose chat templates begin a thought, of which servers without a parser for it show the end only."""
_ALWAYS_SENT = frozenset({"max_tokens", "temperature", "top_p"})
_DISPENSABLE = (
    "stream_options", "user", "seed", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "dry_base", "dry_allowed_length", "dry_sequence_breakers", "ignore_eos", "n",
)  # fmt: skip
"""Fields without which a request still means the same: a server that does not know one of them is asked without it."""
_UNKNOWN_FIELD = re.compile(
    r"unexpected|unknown|unrecogni[sz]ed|unsupported|extra|not (permitted|supported|allowed)", re.IGNORECASE
)
_ONE_TEXT_ONLY = re.compile(r"\bn\b|\bone completion choice\b")
"""How servers refuse `n`; the last are llama.cpp's words."""
_NO_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_ALREADY_LOADED = "already been"
"""vLLM's words, with and without a space after them; names of versions are never used twice, so all is well."""
_QUEUED = re.compile(r": queued (\d{1,9})")
"""The comment by which our engine says how many are before a request (`engine.api.protocol.sse_queued`)."""
_WRITING = ": writing"
"""And by which it says that it is at work (`engine.api.protocol.SSE_WORKING`)."""
_OF_THE_REQUEST = frozenset({"too_long", "too_large", "policy"})
"""Refusals that say nothing of the server, for other requests may be well."""
_UNREADABLE = "The engine's answer cannot be read; is the address that of an OpenAI-compatible server?"


class EngineClient:
    """One server. `http` is the caller's, who closes it; it may send an API key by itself, or else `key` is sent.

    `base_url` is the server's root, with or without `/v1`. All calls raise EngineUnavailable where the server cannot be
    reached, or answers what cannot be read.
    """

    def __init__(self, base_url: str, *, http: httpx.AsyncClient, key: str | None = None) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._http = http
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._dialect = _Dialect()
        self._is_ours = False
        """Whether the server is our own engine, which takes fields that no other has."""
        self.fault = ""
        """What was wrong with the last answer, or with the way there; "" where nothing was."""
        self.useless = 0
        """How many requests in a row have brought nothing that can be used."""
        self._say_again_at: dict[str, float] = {}

    async def stream(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        model: str,
        user: str | None = None,
        on_queued: Callable[[int], None] = lambda _: None,
        n: int = 1,
        spare_seconds: float | None = None,
    ) -> AsyncGenerator[str | Reply, None]:
        """The text piece by piece, and last the whole `Reply`; of `n` texts the pieces are the first one's.

        `user` says whose request it is, so that a server can be fair. While the request waits for its turn,
        `on_queued` is told now and then how many are before it, if the server says so. Close the generator
        (`contextlib.aclosing`) to stop early: the server then stops writing. The reply's usage is 0 where the server
        does not tell.

        With `spare_seconds` there may be fewer than `n` texts: so long, or twice as long as the first takes, the others
        may take, and our own engine writes them only while nobody waits. A server that knows nothing of `n` is asked
        for as many texts side by side, once it has shown that. Of several texts our own engine tells the `logprobs`, by
        which they can be compared; what others tell under that name differs, and they are not asked for it.

        Raises:
            EngineBusy: the server's queue is full.
            RequestError: the server refuses the request (status 404: it has no such model).
            AnswerFailed: our engine failed at this answer, and would again.
            AnswerBroken: it broke off once the server had taken the request.
            EngineUnavailable: it cannot be reached, or is silent for too long.
        """
        body = _body(messages, sampling, model) | {"stream": True, "stream_options": {"include_usage": True}}
        if user is not None:
            body["user"] = user
        if spare_seconds is not None and sampling.is_greedy:
            n = 1  # the others would be the same
        dialect = self._dialect
        if n > 1 and dialect.takes_n:
            if self._is_ours:
                body["logprobs"] = True
            more = {"n": n, "spare_seconds": spare_seconds}
            body |= more if self._is_ours and spare_seconds is not None else {"n": n}
            pieces = self._streamed(body, on_queued, n)
        elif n > 1:
            n = min(n, MOST_SIDE_BY_SIDE)
            pieces = self._side_by_side(body, on_queued, n, spare_seconds)
        else:
            pieces = self._streamed(body, on_queued)
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Reply) and len(piece.texts) < n and "spare_seconds" not in body:
                        dialect.takes_n = False
                    yield piece
        except EngineError as error:
            self._note(error)
            raise

    async def _side_by_side(
        self, body: dict[str, Any], on_queued: Callable[[int], None], n: int, spare_seconds: float | None
    ) -> AsyncGenerator[str | Reply, None]:
        """As many requests as texts; the first one's pieces, and last what all of them have brought."""
        clock = asyncio.get_running_loop().time
        began, seed = clock(), body.get("seed")
        seeds = [{} if seed is None else {"seed": seed_of(seed, number)} for number in range(1, n)]
        others = [asyncio.create_task(self._last_of(self._streamed(body | each, lambda _: None))) for each in seeds]
        try:
            async with contextlib.aclosing(self._streamed(body, on_queued)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        first = piece
                    else:
                        yield piece
            patience = None if spare_seconds is None else max(spare_seconds, 2.0 * (clock() - began)) - clock() + began
            await asyncio.wait(others, timeout=patience)
            replies = [first, *(task.result() for task in others if task.done() and task.exception() is None)]
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        yield Reply(
            tuple(text for reply in replies for text in reply.texts),
            first.model,
            first.prompt_tokens,
            sum(reply.completion_tokens for reply in replies),
        )

    @staticmethod
    async def _last_of(pieces: AsyncGenerator[str | Reply, None]) -> Reply:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Reply):
                    return piece
        raise AssertionError("a stream ends with a reply")

    async def _streamed(
        self, body: dict[str, Any], on_queued: Callable[[int], None], n: int = 1
    ) -> AsyncGenerator[str | Reply, None]:
        """One request's answer. Text that has come is kept where more of it cannot be had by asking again."""
        answer, is_taken = self._empty_reply(body["model"]), False
        try:
            with _translated_errors(body):
                async with self._asked(body, {"Accept": "text/event-stream", "Cache-Control": "no-store"}) as response:
                    is_taken = True
                    async with contextlib.aclosing(_pieces_of(response, answer, on_queued, n)) as pieces:
                        async for piece in pieces:
                            if piece:
                                yield piece
            self._dialect.thinks_unseen = self._dialect.thinks_unseen or answer.has_thought_unseen
            self._recovered()
        except EngineError as error:
            is_whole = answer.has_text and (answer.has_ended or isinstance(error, RequestError))
            is_plain = isinstance(error, RequestError | EngineBusy) and not answer.has_text
            if not is_whole and (not is_taken or is_plain or isinstance(error, AnswerFailed)):
                raise
            if not is_whole:
                raise AnswerBroken(str(error), text=answer.reply().text) from error
            self._note(error, is_useless=False)
        yield answer.reply()

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, model: str) -> Reply:
        """The whole answer at once; raises as `stream` does."""
        answer, body = self._empty_reply(model), _body(messages, sampling, model)
        with _translated_errors(body):
            async with self._asked(body) as response:
                await response.aread()
            for value, event in documents_in(_text_of(response)):
                answer.take(value, event)
            answer.end_texts()
        if not answer.texts:
            raise EngineUnavailable(_UNREADABLE)
        return answer.reply()

    def _empty_reply(self, model: str) -> PartialReply:
        has_such_name = _THINKING_MODEL.search(self._dialect.name_of(model)) is not None
        thinks = not self._is_ours and (self._dialect.thinks_unseen or has_such_name)
        return PartialReply(model, may_begin_in_thought=thinks)

    def _note(self, error: EngineError, *, is_useless: bool = True) -> None:
        """Keep what is wrong with the server, and say it in the log, once in a while however often it happens."""
        if getattr(error, "kind", "") in _OF_THE_REQUEST or isinstance(error, AnswerFailed):
            return
        self.fault = str(error)
        self.useless += is_useless
        what, _, _ = self.fault.partition(" It says: ")  # of which each time may be another
        now = time.monotonic()
        if now >= self._say_again_at.get(what, now):
            if len(self._say_again_at) == _MOST_REMEMBERED:
                self._say_again_at.clear()
            self._say_again_at[what] = now + _SAY_AGAIN_SECONDS
            logger.warning("%s", error)

    def _recovered(self) -> None:
        if self.useless >= MOST_USELESS:
            logger.info("the engine answers again")
        self.fault, self.useless = "", 0

    async def is_ready(self) -> bool:
        """Whether the server would answer a request now. Servers without `/health` are asked for their models."""
        try:
            with _translated_errors():
                response = await self._get("/health")
                if response.status_code == HTTPStatus.NOT_FOUND:
                    response = await self._get("/v1/models")
        except EngineUnavailable as error:
            self.fault = str(error)
            return False
        if not response.is_success:
            self.fault = str(Refusal.read(response.status_code, _text_of(response), response.headers).error(()))
        elif not self.useless:
            self.fault = ""
        return response.is_success

    async def models(self) -> tuple[str, ...]:
        """What requests may name, the base first."""
        once = {"Connection": "close"}  # a server that fails to list them hangs up without a word
        answer = await self._send("GET", "/v1/models", None, HEALTH_SECONDS, once)
        try:
            listed = _read(answer, lambda found: [each for each in found["data"] if isinstance(each, dict)])
        except EngineUnavailable as error:
            raise EngineFailed(str(error)) from error
        named = [(each, name) for each in listed if isinstance(name := each.get("id"), str) and name]
        entries = [(each.get("parent") is not None, name) for each, name in named]
        self._is_ours = any(each.get("owned_by") == OWNER for each, _ in named)
        if not entries:
            raise EngineFailed("The engine serves no model; start it with one.")
        return tuple(name for _, name in sorted(entries, key=itemgetter(0)))

    async def find_base(self, model: str = "") -> str:
        """Learn what the server calls its base; returns our name for it, by which requests may ask for it.

        `model` is what MODEL says, perhaps a folder or hub id of the same last part. It picks among the names that the
        server lists; where the list has it not, as that of `transformers serve`, it is asked for by itself. Without it
        the first of the list is the base.

        Raises:
            EngineUnavailable: the server has nothing of that name.
        """
        try:
            names = await self.models()
        except (EngineFailed, EngineBusy, RequestError):  # it has no list to show
            if not model:
                raise
            names = ()
        wanted = version_name(model) if model else None
        listed = next((name for name in names if wanted in (None, version_name(name))), None)
        self._dialect = _Dialect(listed or await self._tried(model, names))
        return self._dialect.base

    async def learn_template(self, model: str) -> None:
        """Learn by a tiny request whether the model's chat template takes a system message; if not, none is sent.

        Our own engine knows by itself, and whoever cannot answer now shows it by refusing the first request.
        """
        if self._is_ours or self._dialect.folds_system:
            return
        one, hello = Sampling(max_tokens=1), Message("user", "Hello")
        try:
            await self.complete([Message("system", "Be brief."), hello], one, model=model)
        except (RequestError, EngineFailed) as refusal:  # some fail over it where they should refuse
            if getattr(refusal, "kind", "other") not in ("template", "other", "field"):
                return
            with contextlib.suppress(EngineError):
                await self.complete([hello], one, model=model)
                self._dialect.fold()
        except EngineError:
            return

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

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load the version in `folder`, a path on the server's machine; requests may then name it.

        Raises:
            NoAdapters: the server was not started so that it could load it.
            ModelError: the server refuses the adapter; what served before serves on.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            await self._send("POST", "/v1/load_lora_adapter", body, LOAD_SECONDS)
        except (RequestError, EngineFailed) as error:
            if _ALREADY_LOADED in str(error):
                return
            # A failure is vLLM's word for an adapter that does not fit, or of an engine that dies.
            if isinstance(error, EngineFailed) and not await self.is_ready():
                raise
            raise _refused_adapter(error) from error

    async def takes_adapters(self) -> bool:
        """Whether the server has a call by which versions are loaded while it runs; of it nothing is asked yet."""
        try:
            await self._send("POST", "/v1/load_lora_adapter", {}, HEALTH_SECONDS)
        except RequestError as refusal:
            return refusal.status not in _NO_ROUTE
        except EngineFailed:
            pass  # it has the call, and stumbled over a request without a name
        return True

    async def unload_adapter(self, name: str) -> None:
        """Forget a version; running requests are finished. One that is not loaded is no error.

        Raises:
            ModelError: the server does not unload adapters.
        """
        try:
            await self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name}, LOAD_SECONDS)
        except RequestError as error:
            if name in await self.models():
                raise _refused_adapter(error) from error

    async def moderate(self, text: str) -> frozenset[str]:
        """The categories of what the server's guard model finds in a text; EngineError if it has none, or it fails."""
        return _read(await self._send("POST", "/v1/moderations", {"input": text}, ANSWER_SECONDS), read_moderation)

    async def look_for_watermark(self, text: str) -> float | None:
        """How often a text without the server's watermark shows as much of it; None for a text that is too short.

        Raises:
            RequestError: the server marks nothing.
        """
        answer = await self._send("POST", "/v1/watermark", {"input": text}, ANSWER_SECONDS)
        return _read(answer, lambda found: None if found["p_value"] is None else float(found["p_value"]))

    @contextlib.asynccontextmanager
    async def _asked(
        self, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The response to a chat completion, asked for again without what the server refuses and can do without."""
        url = f"{self._root}/v1/chat/completions"
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        headers = self._headers | (headers or {})
        while True:
            sent = self._dialect.translated(body)
            async with self._http.stream("POST", url, json=sent, timeout=timeout, headers=headers) as response:
                if response.is_success:
                    yield response
                    return
                await response.aread()
                refusal = Refusal.read(response.status_code, _text_of(response), response.headers)
                if not self._dialect.learns_from(refusal, sent):
                    raise refusal.error(_said_in(body))

    async def _get(self, path: str) -> httpx.Response:
        """The answer to a question that takes no time."""
        return await self._http.get(self._root + path, timeout=HEALTH_SECONDS, headers=self._headers)

    async def _send(
        self, method: str, path: str, body: object, seconds: float, headers: dict[str, str] | None = None
    ) -> str:
        """The text of the answer to any other request."""
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        with _translated_errors():
            headers = self._headers | (headers or {})
            response = await self._http.request(method, self._root + path, json=body, timeout=timeout, headers=headers)
        if not response.is_success:
            raise Refusal.read(response.status_code, _text_of(response), response.headers).error()
        return _text_of(response)


class _Dialect:
    """What one server's make wants otherwise: its name for the base, and the fields that it has refused."""

    def __init__(self, base: str = "") -> None:
        self._base = base
        self.base = version_name(base)
        """Our name for the server's base, the same whichever server has it."""
        self._refused: set[str] = set()
        self.takes_n = True
        """Whether the server writes as many texts as it is asked for, as far as is known."""
        self.thinks_unseen = False
        """Whether its texts have begun within a thought, of which only the end can be seen."""
        self.folds_system = False
        """Whether the system message goes into the first message of the user, for the template takes none."""
        self._limit = "max_tokens"

    def name_of(self, model: str) -> str:
        """What the server calls a model."""
        return self._base if self._base and model == self.base else model

    def translated(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body as this server wants it."""
        model = self.name_of(body["model"])
        kept = {name: value for name, value in body.items() if name not in self._refused} | {"model": model}
        kept[self._limit] = kept.pop("max_tokens")
        if self.folds_system:
            messages = fold_system([Message(**message) for message in body["messages"]])
            kept["messages"] = [asdict(message) for message in messages]
        return kept

    def fold(self) -> None:
        """From now on no system message is sent."""
        if not self.folds_system:
            logger.info("the model takes no system message: it goes into the first message of the user")
        self.folds_system = True

    def learns_from(self, refusal: Refusal, body: dict[str, Any]) -> bool:
        """Whether the server refused `body` for what it can do without; it gets that no more."""
        message = refusal.words
        if refusal.kind == "template" and any(message["role"] == "system" for message in body["messages"]):
            self.fold()  # perhaps once more: others were under way when it was learned
            return True
        if "max_completion_tokens" in message and "max_tokens" in body:
            self._limit = "max_completion_tokens"
            return True
        if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        unknown = {"n"} if "n" in body and _ONE_TEXT_ONLY.search(message) else set()
        if _UNKNOWN_FIELD.search(message):
            unknown |= {name for name in _DISPENSABLE if name in body and re.search(rf"\b{name}\b", message)}
        if unknown:
            logger.warning("the engine does not know %s; requests go without", ", ".join(sorted(unknown)))
        self._refused |= unknown
        return bool(unknown)


def _body(messages: Sequence[Message], sampling: Sampling, model: str) -> dict[str, Any]:
    """The request's fields; those that not every server knows only when they say something."""
    unsaid = Sampling()
    given = {
        name: value
        for name, value in asdict(sampling).items()
        if name in _ALWAYS_SENT or value != getattr(unsaid, name)
    }
    return {"model": model, "messages": [asdict(message) for message in messages]} | given


def _said_in(body: dict[str, Any]) -> list[str]:
    """What a request holds of people's words."""
    return [str(message["content"]) for message in body.get("messages", ())]


async def _pieces_of(
    response: httpx.Response, answer: PartialReply, on_queued: Callable[[int], None], n: int
) -> AsyncGenerator[str, None]:
    """Read an answer into `answer`; the pieces are those of its first text, many of them empty.

    Raises:
        EngineUnavailable: it broke off, or holds nothing that can be used.
        ServerSays: the server's own error.
    """
    documents, clock = Documents(), asyncio.get_running_loop().time
    deadline, is_over = clock() + _USELESS_SECONDS, False
    async with contextlib.aclosing(lines_of(response.aiter_bytes())) as lines:
        while True:
            try:
                async with asyncio.timeout_at(deadline):  # around no `yield`: it would end whoever waits there
                    line = await anext(lines, None)
            except TimeoutError as error:
                if not is_over:
                    raise EngineUnavailable("The engine sends signs of life, and no text.") from error
                line = None
            if line is None:
                break
            if queued := _QUEUED.fullmatch(line):
                on_queued(int(queued[1]))
            if queued or line == _WRITING:
                deadline = clock() + _USELESS_SECONDS
            for value in () if documents.is_done else documents.feed(line):
                had = answer.characters
                yield answer.take(value, documents.event)
                if answer.characters > had:
                    deadline = clock() + (_TAIL_SECONDS if is_over else _USELESS_SECONDS)
            if not is_over and (documents.is_done or len(answer.finish_reasons) >= n):
                is_over, deadline = True, clock() + _TAIL_SECONDS  # the connection can be used again at its very end
    yield answer.end_texts(is_cut_off=not (documents.is_done or answer.has_ended))
    _check_end(response, answer, documents)


def _check_end(response: httpx.Response, answer: PartialReply, documents: Documents) -> None:
    """Whether an answer that has come to its end is whole; EngineUnavailable if not."""
    if answer.texts and (documents.is_done or answer.has_ended):
        return
    is_framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    if answer.has_text and is_framed and not documents.rest:
        return  # some servers just end
    if answer.texts or documents.rest:
        raise EngineUnavailable("The engine broke off in the middle of its answer; ask again.")
    what = "it is a page for people" if documents.is_page else "there is no text in it"
    raise EngineUnavailable(
        f"The engine's answer cannot be used, for {what}: is ENGINE_URL an OpenAI-compatible server?"
    )


def _text_of(response: httpx.Response) -> str:
    """A body that has been read. It is UTF-8 whatever its header says: httpx fails over some of Python's codecs."""
    return response.content.decode("utf-8-sig", "replace")


def _read(text: str, reader: Callable[[dict[str, Any]], T]) -> T:
    """What `reader` makes of a JSON object; EngineUnavailable if it is of another shape."""
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"an object was expected, not {type(value).__name__}")
        return reader(value)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise EngineUnavailable(_UNREADABLE) from error


@contextlib.contextmanager
def _translated_errors(body: dict[str, Any] | None = None) -> Iterator[None]:
    """httpx's exceptions, and errors that a server tells in its answer to `body`, as ours."""
    try:
        yield
    except ServerSays as error:
        raise error.refusal.error(_said_in(body or {})) from None
    except httpx.ProxyError as error:
        raise EngineUnavailable(f"The engine cannot be reached: {error}") from error
    except httpx.ConnectError as error:
        raise EngineUnavailable("The engine cannot be reached; is it running?") from error
    except httpx.TimeoutException as error:
        raise EngineUnavailable("The engine did not answer in time; try again later.") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise EngineUnavailable("The connection to the engine broke; ask again.") from error
    except (httpx.InvalidURL, httpx.DecodingError) as error:
        raise EngineUnavailable(_UNREADABLE) from error


def _refused_adapter(error: EngineError) -> ModelError:
    """A server's answer to an adapter as an exception: `NoAdapters` where the server has to be started otherwise.

    vLLM has no such path unless it was told to; where it sees no such folder it answers 404 too, with another message.
    """
    message = str(error)
    if "No adapter found" in message:
        return NoAdapters(f"{message.rstrip('.')}; the server must see DATA_DIR under the same path as the bot.")
    if error.status in _NO_ROUTE or "LoRA is not enabled" in message:
        return NoAdapters(
            "The server does not load adapters while it runs; start vLLM with --enable-lora and"
            " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True."
        )
    return ModelError(message)
