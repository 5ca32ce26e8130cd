"""The engine's HTTP face: OpenAI's chat completions and models, vLLM's adapter calls, health and metrics.

Knows HTTP, the wire format and the engine. Knows nothing of torch, processes or sockets.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.batching import Engine
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, EngineUnavailable, ModelError, RequestError
from engine.generation import Generation
from engine.metrics import CONTENT_TYPE, Metrics, Served
from engine.protocol import (
    SSE_DONE,
    ChatRequest,
    Completion,
    Usage,
    error_object,
    parse_chat,
    parse_load,
    parse_timeout,
    parse_unload,
    sse,
)
from engine.queue_news import queued
from engine.versions import locate

MAX_BODY_BYTES = 4 << 20
QUEUE_NEWS_SECONDS = 2.0
"""A stream that waits for its turn is told this often how many are before it."""
QUEUE_NEWS_PER_SECOND = 100
"""And less often where very many wait, for counting costs."""

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left; nobody reads it."""


def build_app(engine: Engine, *, versions_dir: Path | None) -> Starlette:
    """The application over a running engine. With `versions_dir`, only adapters directly inside it can be loaded."""
    api = _Api(engine, versions_dir)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/v1/load_lora_adapter", api.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", api.unload, methods=["POST"]),
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


class _Api:
    def __init__(self, engine: Engine, versions_dir: Path | None) -> None:
        self._engine = engine
        self._versions_dir = versions_dir
        self._metrics = Metrics(engine)
        self._started_at = int(time.time())

    async def chat(self, request: Request) -> Response:
        timeout_seconds = parse_timeout(request.headers.get("X-Server-Timeout"))
        asked = parse_chat(await _body(request))
        try:
            generation = self._engine.submit(
                asked.messages,
                asked.sampling,
                model=asked.model,
                fills_context=asked.fills_context,
                user=asked.user,
                timeout_seconds=timeout_seconds,
            )
        except EngineBusy:
            self._metrics.count_rejected()
            raise
        answer = _Answer(self._engine, generation, asked, self._metrics)
        return _Events(answer) if asked.is_stream else await answer.whole(request)

    async def models(self, _: Request) -> Response:
        base, *_adapters = self._engine.model_names
        entries = [
            {
                "id": name,
                "object": "model",
                "created": self._started_at,
                "owned_by": "ovation",
                "root": base,
                "parent": None if name == base else base,
                "max_model_len": self._engine.context_tokens,
            }
            for name in self._engine.model_names
        ]
        return JSONResponse({"object": "list", "data": entries})

    async def load(self, request: Request) -> Response:
        adapter = parse_load(await _body(request))
        folder = Path(adapter.path)
        try:
            if self._versions_dir is not None:
                folder = locate(folder, self._versions_dir)
            await self._engine.load_adapter(adapter.name, folder)
        except ModelError as error:
            raise RequestError(str(error)) from error
        return PlainTextResponse(f"Success: LoRA adapter '{adapter.name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        adapter = parse_unload(await _body(request))
        self._engine.unload_adapter(adapter.name)
        return PlainTextResponse(f"Success: LoRA adapter '{adapter.name}' removed successfully.")

    async def health(self, _: Request) -> Response:
        status = "stopped" if not self._engine.is_alive else "stuck" if self._engine.is_stuck else "ok"
        return JSONResponse({"status": status}, status_code=200 if status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)


class _Answer:
    """One generation on its way to its client, who may leave at any time."""

    def __init__(self, engine: Engine, generation: Generation, asked: ChatRequest, metrics: Metrics) -> None:
        self._engine = engine
        self._generation = generation
        self._includes_usage = asked.includes_usage
        self._completion = Completion(asked.model)
        self._metrics = metrics
        self._submitted_at = time.monotonic()
        self._first_token_seconds: float | None = None

    async def whole(self, request: Request) -> Response:
        """The answer in one piece."""
        watching = asyncio.create_task(self._cancel_when_left(request))
        try:
            text = "".join([delta async for delta in self._deltas()])
        finally:
            watching.cancel()
            self.end()
        reason = self._generation.finish_reason
        assert reason is not None, "deltas end with a finish reason or raise"
        return JSONResponse(self._completion.whole(text, reason, self._usage()))

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The answer as server-sent events; an error after the first event is an event too, and the last."""
        yield self._completion.first_chunk()
        while not (await self._generation.starts_within(self._news_seconds()) or self._engine.is_stuck):
            yield queued(self._engine.ahead_of(self._generation))
        try:
            async for delta in self._deltas():
                yield self._completion.text_chunk(delta)
        except EngineError as error:
            yield sse(error_object(str(error), status=_status(error)))
            return
        assert self._generation.finish_reason is not None, "deltas end with a finish reason or raise"
        yield self._completion.last_chunk(self._generation.finish_reason)
        if self._includes_usage:
            yield self._completion.usage_chunk(self._usage())
        yield SSE_DONE

    def end(self) -> None:
        """Free the row if it is still written, and count the request."""
        self._generation.cancel()
        self._metrics.count(Served(self._generation, self._first_token_seconds))

    def _news_seconds(self) -> float:
        return max(QUEUE_NEWS_SECONDS, self._engine.waiting / QUEUE_NEWS_PER_SECOND)

    async def _deltas(self) -> AsyncGenerator[str, None]:
        async for delta in self._generation.deltas():
            if self._first_token_seconds is None:
                self._first_token_seconds = time.monotonic() - self._submitted_at
            yield delta

    async def _cancel_when_left(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._generation.cancel()

    def _usage(self) -> Usage:
        return Usage(self._generation.prompt_tokens, self._generation.completion_tokens)


class _Events(StreamingResponse):
    """A stream that ends its answer however the connection ends, even before the first event."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(f"The body is longer than {MAX_BODY_BYTES} bytes; shorten it.", status=413)
    return bytes(body)


def _status(error: EngineError) -> int:
    match error:
        case RequestError():
            return error.status
        case EngineBusy():
            return HTTPStatus.TOO_MANY_REQUESTS
        case EngineUnavailable():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case DeadlineExceeded():
            return HTTPStatus.GATEWAY_TIMEOUT
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR


async def _engine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError), "registered for EngineError only"
    status = _status(error)
    headers = {}
    if isinstance(error, EngineBusy):
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, DeadlineExceeded):
        headers["X-Should-Retry"] = "false"  # else OpenAI's own client asks for the same again, twice
    return JSONResponse(error_object(str(error), status=status), status_code=status, headers=headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for HTTPException only"
    message = f"{request.method} {request.url.path}: {error.detail}."
    return JSONResponse(
        error_object(message, status=error.status_code), status_code=error.status_code, headers=error.headers
    )


async def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _unforeseen_error(_: Request, __: Exception) -> Response:
    """The traceback goes to the log, never to the client."""
    return JSONResponse(error_object("The engine failed; its log says why.", status=500), status_code=500)
