"""One answer on its way to its client, in one piece or as server-sent events.

Knows HTTP, the wire format and one generation. Knows nothing of routes or of other requests.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.api.protocol import AT_WORK, SSE_DONE, ChatRequest, Completion, Usage, error_object, queued, sse
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, EngineUnavailable, RequestError
from engine.inference.engine import Engine
from engine.inference.request import Generation
from engine.server.metrics import Metrics, Served

QUEUE_NEWS_SECONDS = 2.0
"""A stream that waits for its turn is told this often how many are before it."""
QUEUE_NEWS_PER_SECOND = 100
"""And less often where very many wait, for counting costs."""


class Answer:
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
        while not (await self._generation.speaks_within(QUEUE_NEWS_SECONDS) or self._engine.is_stuck):
            yield AT_WORK
        try:
            async for delta in self._deltas():
                yield self._completion.text_chunk(delta)
        except EngineError as error:
            yield sse(error_object(str(error), status=status_of(error)))
            return
        assert self._generation.finish_reason is not None, "deltas end with a finish reason or raise"
        yield self._completion.last_chunk(self._generation.finish_reason, self._generation.best_of)
        if self._includes_usage:
            yield self._completion.usage_chunk(self._usage())
        yield SSE_DONE

    def end(self) -> None:
        """Free the rows if it is still written, and count the request."""
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
        generation = self._generation
        return Usage(generation.prompt_tokens, generation.completion_tokens, generation.best_of)


class Events(StreamingResponse):
    """A stream that ends its answer however the connection ends, even before the first event."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, as an ASGI application."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


def status_of(error: EngineError) -> int:
    """The HTTP status that says what an error says."""
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
