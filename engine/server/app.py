"""The engine's HTTP face: OpenAI's chat completions and models, vLLM's adapter calls, tastes, health and metrics.

Knows HTTP, the wire format and the engine. Knows nothing of torch, processes or sockets.
"""

import asyncio
import math
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.api.protocol import (
    error_object,
    fitted_object,
    moderation_object,
    parse_chat,
    parse_load,
    parse_moderation,
    parse_taste,
    parse_timeout,
    parse_unload,
)
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, ModelError, RequestError
from engine.inference.engine import Engine
from engine.models.guard import Guard
from engine.runs.versions import locate
from engine.server.metrics import CONTENT_TYPE, Metrics
from engine.server.streaming import Answer, Events, status_of

MAX_BODY_BYTES = 4 << 20
MAX_TASTE_BYTES = 32 << 20
"""Some 10,000 texts, each with what it answers."""

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
        asked = parse_chat(await _body(request))
        try:
            generation = self._engine.submit(
                asked.messages,
                asked.sampling,
                model=asked.model,
                fills_context=asked.fills_context,
                user=asked.user,
                choosing=asked.choosing,
                timeout_seconds=timeout_seconds,
            )
        except EngineBusy:
            self._metrics.count_rejected()
            raise
        answer = Answer(self._engine, generation, asked, self._metrics)
        return Events(answer) if asked.is_stream else await answer.whole(request)

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

    async def taste(self, request: Request) -> Response:
        body = await _body(request, most=MAX_TASTE_BYTES)
        asked = await asyncio.to_thread(parse_taste, body)  # long enough to hold up streams
        fitted = await self._engine.tastes.fit(asked.name, asked.texts, asked.people)
        return JSONResponse(fitted_object(asked.name, fitted))

    async def moderations(self, request: Request) -> Response:
        text = parse_moderation(await _body(request))
        if self._guard is None:
            raise RequestError("This server has no guard model: start it with --guard.", status=404)
        async with self._judging:
            found = await asyncio.to_thread(self._guard.judge, text)
        return JSONResponse(moderation_object(self._guard.name, found))

    async def watermark(self, request: Request) -> Response:
        found = await self._engine.look_for_watermark(parse_moderation(await _body(request)))
        return JSONResponse({"tokens": found.tokens, "p_value": found.p_value})

    async def health(self, _: Request) -> Response:
        status = "stopped" if not self._engine.is_alive else "stuck" if self._engine.is_stuck else "ok"
        return JSONResponse({"status": status}, status_code=200 if status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)


async def _body(request: Request, *, most: int = MAX_BODY_BYTES) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestError(f"The body is longer than {most} bytes; shorten it.", status=413)
    return bytes(body)


async def _engine_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError), "registered for EngineError only"
    status = status_of(error)
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
