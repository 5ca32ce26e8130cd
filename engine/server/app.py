"""The engine's HTTP API: OpenAI's chat completions and models, vLLM's adapter calls, health and metrics."""

import asyncio
import contextlib
import functools
import hmac
import logging
import math
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api import protocol
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, ModelError, RequestError
from engine.http_guard import OwnPagesOnly
from engine.inference.engine import Engine, Piece, TextStream, within
from engine.models.guard import Guard
from engine.runs.versions import locate

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20
"""Of a request, whatever the context; of a model with a small one, what its messages can have at most and a rest:"""
_OTHER_BYTES = 256 << 10
"""For fields that are no messages, or are ignored."""
_BYTES_A_CHARACTER = 12
"""Of JSON in ASCII: two escapes."""
_LONG_BYTES = 64 << 10
_LONG_AT_ONCE, _LONG_WAITING = 4, 64
"""Long bodies that are read at once, and that wait with what has come of them."""

QUEUE_UPDATE_SECONDS = 2.0
"""A stream that waits for its turn is told this often how many are before it."""
QUEUE_UPDATES_PER_SECOND = 100
"""Over all streams: less often where very many wait, for counting costs."""

_UNFORESEEN = "The engine failed at this; its log says why."
_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left; nobody reads it."""
_FIRST_TOKEN_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


def build_app(engine: Engine, *, versions_dir: Path | None, guard: Guard | None = None) -> Starlette:
    """The application over a running engine. With `versions_dir`, only adapters directly inside it can be loaded."""
    api = _Api(engine, versions_dir, guard)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/v1/models/{name:path}", api.model),
            Route("/v1/load_lora_adapter", api.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", api.unload, methods=["POST"]),
            Route("/v1/moderations", api.moderations, methods=["POST"]),
            Route("/v1/watermark", api.watermark, methods=["POST"]),
            Route("/health", api.health),
            Route("/metrics", api.metrics),
        ],
        exception_handlers={
            EngineError: _engine_error,
            HTTPException: _http_error,
            ClientDisconnect: _client_left,
            Exception: _unforeseen_error,
        },
    )


def guarded(app: ASGIApp, *, hosts: Collection[str] = (), key: str | None = None) -> ASGIApp:
    """`app` for programs that have the key, where there is one, by an address of this machine or a name in `hosts`."""
    hint = "Or start the server with --allow-host and that name."
    return OwnPagesOnly(_Keyed(app, key), hosts=hosts, any_address=True, hint=hint, refuse=_error_response)


class _Keyed:
    """Lets through to `app` what has the key, if one is needed, and a body that says that it is JSON.

    No body is read before. `/health` needs no key: it says no more than whether the engine lives, to whoever keeps it
    alive; nor does `OPTIONS`, for browsers ask without one. JSON is what no form of a page can send by itself.
    """

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app = app
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's place where it may not be asked."""
        headers, answer = Headers(scope=scope), self._app
        if scope["path"] != "/health" and scope["method"] != "OPTIONS" and not self._has_key(headers):
            says = "This server wants its API key, as Authorization: Bearer KEY."
            answer = _error_response(says, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        elif scope["method"] == "POST" and _kind_of(headers) != "application/json":
            says = "Send the body with Content-Type: application/json."
            answer = _error_response(says, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        await answer(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        if self._key is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.casefold() == "bearer" and hmac.compare_digest(given.strip().encode(), self._key)


def _kind_of(headers: Headers) -> str:
    """The media type of the body, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().casefold()


class _Api:
    def __init__(self, engine: Engine, versions_dir: Path | None, guard: Guard | None) -> None:
        self._engine = engine
        self._guard = guard
        self._bodies = _Bodies(engine.most_characters)
        self._judging = asyncio.Lock()
        self._versions_dir = versions_dir
        self._metrics = _Metrics(engine)
        self._started_at = int(time.time())

    async def chat(self, request: Request) -> Response:
        timeout_seconds = protocol.parse_timeout(request.headers.get("X-Server-Timeout"))
        try:
            async with self._bodies.read(request, protocol.ChatRequest) as asked:
                messages, sampling = asked.conversation(), asked.sampling()
                user = asked.safety_identifier or asked.user or None
                prompt = await self._engine.read(messages, model=asked.model, user=user)
            stream = self._engine.submit(
                messages,
                sampling,
                model=asked.model,
                fills_context=True,
                user=user,
                n=asked.n or 1,
                spare_seconds=asked.spare_seconds,
                timeout_seconds=timeout_seconds,
                prompt=prompt,
            )
        except EngineBusy:
            self._metrics.rejected.inc()
            raise
        answer = _ChatResponse(self._engine, stream, asked, self._metrics)
        return answer if asked.stream else await answer.whole(request)

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model(name) for name in self._engine.model_names]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._engine.model_names:
            raise RequestError(f"There is no model {name!r} here.", status=HTTPStatus.NOT_FOUND, param="model")
        return JSONResponse(self._model(name))

    def _model(self, name: str) -> dict[str, object]:
        base = self._engine.model_names[0]
        return {
            "id": name,
            "object": "model",
            "created": self._started_at,
            "owned_by": protocol.OWNER,
            "root": base,
            "parent": None if name == base else base,
            "max_model_len": self._engine.context_tokens,
        }

    async def load(self, request: Request) -> Response:
        async with self._bodies.read(request, protocol.LoadRequest) as asked:
            pass
        folder = Path(asked.lora_path)
        try:
            if self._versions_dir is not None:
                folder = locate(folder, self._versions_dir)
            await self._engine.load_adapter(asked.lora_name, folder)
        except ModelError as error:
            raise RequestError(str(error)) from error
        return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        async with self._bodies.read(request, protocol.UnloadRequest) as asked:
            pass
        self._engine.unload_adapter(asked.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' removed successfully.")

    async def moderations(self, request: Request) -> Response:
        async with self._bodies.read(request, protocol.TextRequest) as asked:
            if self._guard is None:
                says = "This server has no guard model: start it with --guard."
                raise RequestError(says, status=HTTPStatus.NOT_FOUND)
            async with self._judging:
                found = await asyncio.to_thread(self._guard.judge, asked.input)
        return JSONResponse(protocol.moderation_object(self._guard.name, found))

    async def watermark(self, request: Request) -> Response:
        async with self._bodies.read(request, protocol.TextRequest) as asked:
            found = await self._engine.look_for_watermark(asked.input)
        return JSONResponse({"tokens": found.tokens, "p_value": found.p_value})

    async def health(self, _: Request) -> Response:
        status = "stopped" if not self._engine.is_alive else "stuck" if self._engine.is_stuck else "ok"
        return JSONResponse({"status": status}, status_code=200 if status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Bodies:
    """Reads the bodies of requests: none longer than what could be used, and long ones a few at a time, in a thread."""

    def __init__(self, most_characters: int) -> None:
        """`most_characters` are what the messages of a request may have in all."""
        self._most_bytes = min(MAX_BODY_BYTES, _OTHER_BYTES + _BYTES_A_CHARACTER * most_characters)
        self._long = asyncio.Semaphore(_LONG_AT_ONCE)
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request, kind: type[protocol.AnyBody]) -> AsyncGenerator[protocol.AnyBody, None]:
        """What a request asks for. While the block runs, a long body keeps its place, for the block goes through it.

        Raises:
            RequestError: it is too long (status 413), or not what it should be.
            EngineBusy: too many long ones wait already.
        """
        if int(request.headers.get("content-length", 0)) > self._most_bytes:
            raise self._too_long()
        body = bytearray()
        async with contextlib.AsyncExitStack() as places:
            is_long = False
            async for chunk in request.stream():
                body += chunk
                if len(body) > self._most_bytes:
                    raise self._too_long()
                if len(body) > _LONG_BYTES and not is_long:
                    is_long = True
                    await places.enter_async_context(self._place())
            read = functools.partial(protocol.parse, bytes(body), kind)
            body.clear()
            yield await asyncio.to_thread(read) if is_long else read()

    def _too_long(self) -> RequestError:
        return RequestError(f"The body is longer than {self._most_bytes} bytes; shorten it.", status=413)

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncGenerator[None, None]:
        if self._waiting >= _LONG_WAITING:
            raise EngineBusy(f"{self._waiting} long requests are waiting already; try again in a second.")
        self._waiting += 1
        try:
            await self._long.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._long.release()


class _ChatResponse(StreamingResponse):
    """One answer on its way to its client, who may leave at any time: streamed, or by `whole` in one piece."""

    def __init__(self, engine: Engine, stream: TextStream, asked: protocol.ChatRequest, metrics: "_Metrics") -> None:
        super().__init__(self._events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._engine = engine
        self._stream = stream
        self._asked = asked
        self._completion = protocol.Completion(asked.model)
        self._begun = {0}
        """The texts of which the client knows."""
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End the answer however the connection ends, even before the first event."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()

    async def whole(self, request: Request) -> Response:
        """The answer in one piece."""
        watching = asyncio.create_task(self._cancel_when_left(request))
        try:
            texts = await self._stream.whole()
        finally:
            watching.cancel()
            self._end()
        if not texts:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        return JSONResponse(self._completion.whole(texts, **self._usage()))

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """The answer as server-sent events; an error after the first event is an event too, and the last."""
        engine, stream = self._engine, self._stream
        yield self._completion.chunk(role="assistant", content="")
        while not (await within(self._queue_update_seconds(), stream.started) or engine.is_stuck):
            yield protocol.sse_queued(engine.ahead_of(stream))
        while not (await within(QUEUE_UPDATE_SECONDS, stream.readable) or engine.is_stuck):
            yield protocol.SSE_WORKING
        try:
            async for piece in stream.pieces():
                for event in self._chunks(piece):
                    yield event
        except EngineError as error:
            yield protocol.sse(protocol.error_object(str(error), status=error.status))
            return
        except Exception:
            logger.exception("A stream failed.")
            yield protocol.sse(protocol.error_object(_UNFORESEEN, status=500))
            return
        if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
            yield self._completion.usage_chunk(**self._usage())
        yield protocol.SSE_DONE

    def _chunks(self, piece: Piece) -> Iterator[bytes]:
        """A piece as events: what was added to its text, and its end."""
        number = piece.number
        if number not in self._begun:
            self._begun.add(number)
            yield self._completion.chunk(index=number, role="assistant", content="")
        if piece.text or piece.logprobs:
            yield self._completion.chunk(index=number, logprobs=piece.logprobs, content=piece.text)
        if piece.finish_reason is not None:
            yield self._completion.chunk(piece.finish_reason, index=number, tokens=self._stream.lengths[number])

    def _queue_update_seconds(self) -> float:
        return max(QUEUE_UPDATE_SECONDS, self._engine.waiting / QUEUE_UPDATES_PER_SECOND)

    def _end(self) -> None:
        """Free the rows if it is still written, and count the request."""
        self._stream.cancel()
        self._metrics.count(self._stream)

    async def _cancel_when_left(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._stream.cancel()

    def _usage(self) -> dict[str, int]:
        return {name: getattr(self._stream, name) for name in ("prompt_tokens", "completion_tokens")}


class _Metrics:
    """Prometheus counters of one server; gauges are read from the engine when asked for."""

    def __init__(self, engine: Engine) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"ovation_engine_{name}", help_, labels, registry=registry)

        self._requests = counter("requests", "Finished requests.", "version", "outcome")
        self._prompt = counter("prompt_tokens", "Tokens read.", "version")
        self._completion = counter("completion_tokens", "Tokens written.", "version")
        self._texts = counter("texts", "Texts that were finished; a request may ask for several.", "version")
        self.rejected = counter("rejected", "Requests that found the queue full.")
        self._first_token = Histogram(
            "ovation_engine_first_token_seconds",
            "From submission to the first text.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        for name, help_, read in (
            ("requests_running", "Requests being written.", lambda: engine.running),
            ("requests_waiting", "Requests that have no row yet.", lambda: engine.waiting),
            ("row_limit", "Requests that may be written at once; memory decides.", lambda: engine.scheduler.row_limit),
            ("kv_tokens_reserved", "Tokens' keys and values that they may hold.", lambda: engine.scheduler.kv_reserved),
            ("kv_tokens_limit", "Tokens' keys and values that there is room for.", lambda: engine.kv_tokens),
            ("versions", "Versions that can be asked for.", lambda: len(engine.model_names)),
        ):
            Gauge(f"ovation_engine_{name}", help_, registry=registry).set_function(read)

    def count(self, stream: TextStream) -> None:
        """Note the end of a request."""
        outcome = stream.finish_reason or ("failed" if stream.is_failed else "cancelled")
        self._requests.labels(stream.version, outcome).inc()
        self._prompt.labels(stream.version).inc(stream.prompt_tokens)
        self._completion.labels(stream.version).inc(stream.completion_tokens)
        self._texts.labels(stream.version).inc(len(stream.finish_reasons))
        if stream.first_text_seconds is not None:
            self._first_token.observe(stream.first_text_seconds)


def _error_response(
    message: str, status: int, headers: Mapping[str, str] | None = None, *, param: str | None = None
) -> Response:
    error = protocol.error_object(message, status=status, param=param)
    return JSONResponse(error, status_code=status, headers=headers)


async def _engine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError), "registered for EngineError only"
    headers = {}
    if isinstance(error, EngineBusy):
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, DeadlineExceeded):
        headers["X-Should-Retry"] = "false"  # else OpenAI's own client asks for the same again, twice
    return _error_response(str(error), error.status, headers, param=getattr(error, "param", None))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for HTTPException only"
    if request.method == "OPTIONS" and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # What can be done here; without any Access-Control header, so that no page of another origin may do it.
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=error.headers)
    return _error_response(f"{request.method} {request.url.path}: {error.detail}.", error.status_code, error.headers)


async def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _unforeseen_error(_: Request, __: Exception) -> Response:
    """The traceback goes to the log, never to the client."""
    return _error_response(_UNFORESEEN, 500)
