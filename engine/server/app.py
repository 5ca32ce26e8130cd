"""The engine's HTTP API: OpenAI's chat completions and models, vLLM's adapter calls, tastes, health and metrics."""

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

from engine.api.protocol import (
    SSE_DONE,
    SSE_WORKING,
    ChatRequest,
    Completion,
    LoadRequest,
    TasteRequest,
    TextRequest,
    UnloadRequest,
    Usage,
    error_object,
    fit_object,
    moderation_object,
    parse,
    parse_timeout,
    sse,
    sse_queued,
)
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, EngineUnavailable, ModelError, RequestError
from engine.inference.engine import Engine, TextStream
from engine.models.guard import Guard
from engine.runs.versions import locate
from engine.server.metrics import CONTENT_TYPE, Metrics

MAX_BODY_BYTES = 4 << 20
MAX_TASTE_BYTES = 32 << 20
"""Some 10,000 texts, each with what it answers."""

QUEUE_UPDATE_SECONDS = 2.0
"""A stream that waits for its turn is told this often how many are before it."""
QUEUE_UPDATES_PER_SECOND = 100
"""Over all streams: less often where very many wait, for counting costs."""

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left; nobody reads it."""


def build_app(engine: Engine, *, versions_dir: Path | None, guard: Guard | None = None) -> Starlette:
    """The application over a running engine. With `versions_dir`, only adapters directly inside it can be loaded."""
    api = _Api(engine, versions_dir, guard)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/v1/load_lora_adapter", api.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", api.unload, methods=["POST"]),
            Route("/v1/taste", api.taste, methods=["POST"]),
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


class _Api:
    def __init__(self, engine: Engine, versions_dir: Path | None, guard: Guard | None) -> None:
        self._engine = engine
        self._guard = guard
        self._judging = asyncio.Lock()
        self._versions_dir = versions_dir
        self._metrics = Metrics(engine)
        self._started_at = int(time.time())

    async def chat(self, request: Request) -> Response:
        timeout_seconds = parse_timeout(request.headers.get("X-Server-Timeout"))
        asked = parse(await _body(request), ChatRequest)
        try:
            generation = self._engine.submit(
                asked.conversation(),
                asked.sampling(),
                model=asked.model,
                fills_context=asked.fills_context,
                user=asked.on_behalf_of,
                selection=asked.selection(),
                timeout_seconds=timeout_seconds,
            )
        except EngineBusy:
            self._metrics.rejected.inc()
            raise
        answer = _Answer(self._engine, generation, asked, self._metrics)
        return _EventStream(answer) if asked.stream else await answer.whole(request)

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
        asked = parse(await _body(request), LoadRequest)
        folder = Path(asked.lora_path)
        try:
            if self._versions_dir is not None:
                folder = locate(folder, self._versions_dir)
            await self._engine.load_adapter(asked.lora_name, folder)
        except ModelError as error:
            raise RequestError(str(error)) from error
        return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        asked = parse(await _body(request), UnloadRequest)
        self._engine.unload_adapter(asked.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' removed successfully.")

    async def taste(self, request: Request) -> Response:
        body = await _body(request, limit=MAX_TASTE_BYTES)
        asked = await asyncio.to_thread(parse, body, TasteRequest)  # long enough to hold up streams
        fit = await self._engine.preferences.fit(asked.name, asked.rated_texts(), asked.ratings())
        return JSONResponse(fit_object(asked.name, fit))

    async def moderations(self, request: Request) -> Response:
        text = parse(await _body(request), TextRequest).input
        if self._guard is None:
            raise RequestError("This server has no guard model: start it with --guard.", status=HTTPStatus.NOT_FOUND)
        async with self._judging:
            found = await asyncio.to_thread(self._guard.judge, text)
        return JSONResponse(moderation_object(self._guard.name, found))

    async def watermark(self, request: Request) -> Response:
        found = await self._engine.look_for_watermark(parse(await _body(request), TextRequest).input)
        return JSONResponse({"tokens": found.tokens, "p_value": found.p_value})

    async def health(self, _: Request) -> Response:
        status = "stopped" if not self._engine.is_alive else "stuck" if self._engine.is_stuck else "ok"
        return JSONResponse({"status": status}, status_code=200 if status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)


async def _body(request: Request, *, limit: int = MAX_BODY_BYTES) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RequestError(f"The body is longer than {limit} bytes; shorten it.", status=413)
    return bytes(body)


class _Answer:
    """One generation on its way to its client, who may leave at any time."""

    def __init__(self, engine: Engine, generation: TextStream, asked: ChatRequest, metrics: Metrics) -> None:
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
        generation = self._generation
        yield self._completion.first_chunk()
        while not (await generation.starts_within(self._queue_update_seconds()) or self._engine.is_stuck):
            yield sse_queued(self._engine.ahead_of(generation))
        while not (await generation.speaks_within(QUEUE_UPDATE_SECONDS) or self._engine.is_stuck):
            yield SSE_WORKING
        try:
            async for delta in self._deltas():
                yield self._completion.text_chunk(delta)
        except EngineError as error:
            yield sse(error_object(str(error), status=_status_of(error)))
            return
        assert generation.finish_reason is not None, "deltas end with a finish reason or raise"
        yield self._completion.last_chunk(generation.finish_reason, generation.best_of)
        if self._includes_usage:
            yield self._completion.usage_chunk(self._usage())
        yield SSE_DONE

    def end(self) -> None:
        """Free the rows if it is still written, and count the request."""
        self._generation.cancel()
        self._metrics.count(self._generation, self._first_token_seconds)

    def _queue_update_seconds(self) -> float:
        return max(QUEUE_UPDATE_SECONDS, self._engine.waiting / QUEUE_UPDATES_PER_SECOND)

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
        generation = self._generation
        return Usage(generation.prompt_tokens, generation.completion_tokens, generation.best_of)


class _EventStream(StreamingResponse):
    """A stream that ends its answer however the connection ends, even before the first event."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


def _status_of(error: EngineError) -> int:
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
    status = _status_of(error)
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
