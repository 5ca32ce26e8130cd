"""An engine without a model, in the test's own loop: it speaks OpenAI's streaming API and says what it is told to.

For tests in which the words do not matter, or must be the test's own: what is asked is kept, answers may be held back,
and a text can be anything. The real engine is what the other tests use.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.common.http_server import listen, serving
from engine.api.protocol import OWNER, SSE_DONE, SSE_WORKING, Completion, error_object, sse, sse_queued
from engine.api.types import FinishReason, WrittenText

BASE = "starter"
_PATIENCE_SECONDS = 0.5
"""A stream that is held back says now and then that it lives, as our engine does."""

_AWAY_SECONDS = 1.5
"""It is away so long when it has died: longer than those that it was answering take to notice."""


def numbered(body: dict[str, Any], number: int) -> str:
    """A text like no other, on what was asked."""
    return f"Text {number} on {body['messages'][-1]['content'][:40]}."


class FakeEngine:
    """`asked` holds the bodies of all requests for a text; `writes` makes a text of a request's body and number.

    While texts are held back, streams stay open and silent until `release` is called; `ahead` is how many requests are
    before theirs, as those who wait are told. With a `key`, only who knows it gets in.
    """

    def __init__(self, *, writes: Callable[[dict[str, Any], int], str] = numbered, key: str | None = None) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.refused = 0
        self.writes = writes
        self.ahead: int | None = None
        self.tokens: int | None = None
        """So many words a text may have; one that has more ends with them, for "length"."""
        self.severals: Literal["spare", "written", "ignored", "refused"] = "spare"
        """What it makes of a wish for several texts: as our own engine while others wait it writes the first only, or
        as others do it writes all, or knows nothing of it, or refuses it. In all but the first it is no engine of ours,
        in the last two it loads no adapters either; `writes` finds each text's number as the body's `index`."""
        self.dies_of: Callable[[str], bool] = lambda _: False
        """What was asked last in a request that ends it, and all answers with it; a moment later it is back."""
        self.fails_at: Callable[[str], bool] = lambda _: False
        """What it answers with an error of its own, and goes on."""
        self.deaths = 0
        self._away_until = 0.0
        self._key = key
        self._adapters: set[str] = set()
        self._go = asyncio.Event()
        self._go.set()

    @property
    def is_held(self) -> bool:
        """Whether texts are held back now."""
        return not self._go.is_set()

    def hold(self) -> None:
        """Hold back every text from now on."""
        self._go.clear()

    def release(self) -> None:
        """Let the texts go that were held back, and those to come."""
        self._go.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeEngine"]:
        """Answer on a free port of the loopback."""
        routes = [
            Route("/health", self._admitted(self._health)),
            Route("/v1/models", self._admitted(self._models)),
            Route("/v1/chat/completions", self._admitted(self._chat), methods=["POST"]),
            Route("/v1/load_lora_adapter", self._admitted(self._load), methods=["POST"]),
            Route("/v1/unload_lora_adapter", self._admitted(self._unload), methods=["POST"]),
        ]
        with listen("127.0.0.1", 0) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with serving(Starlette(routes=routes), listener):
                try:
                    yield self
                finally:
                    self.release()

    def _admitted(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def door(request: Request) -> Response:
            if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
                self.refused += 1
                return Response("no", status_code=401)
            if asyncio.get_running_loop().time() < self._away_until:
                return Response("away", status_code=503)
            admitted: Response = await answer(request)
            return admitted

        return door

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, _: Request) -> Response:
        names = [(BASE, None), *((name, BASE) for name in sorted(self._adapters))]
        owner = OWNER if self.severals == "spare" else "elsewhere"
        entries = [{"id": name, "object": "model", "parent": parent, "owned_by": owner} for name, parent in names]
        return JSONResponse({"object": "list", "data": entries})

    async def _load(self, request: Request) -> Response:
        if self.severals in ("ignored", "refused"):  # a server that is far from vLLM
            return PlainTextResponse("404 page not found", 404)
        body = json.loads(await request.body())
        if "lora_name" not in body:
            return JSONResponse({"error": {"message": "lora_name: a field is missing."}}, 400)
        self._adapters.add(body["lora_name"])
        return PlainTextResponse("loaded")

    async def _unload(self, request: Request) -> Response:
        self._adapters.discard(json.loads(await request.body())["lora_name"])
        return PlainTextResponse("unloaded")

    async def _chat(self, request: Request) -> Response:
        body = json.loads(await request.body())
        if body["messages"][0]["content"] != "Be brief.":  # by which a client learns whether a system message is taken
            self.asked.append(body)
        if self.severals == "refused" and body.get("n", 1) > 1:
            return JSONResponse({"error": {"message": "Only one completion choice is allowed"}}, 400)
        count = body.get("n", 1) if self.severals == "written" else 1
        texts = [self._text(body | {"index": index}) for index in range(count)]
        if body.get("stream"):
            return StreamingResponse(self._events(body, texts), media_type="text/event-stream")
        await self._go.wait()
        return JSONResponse(Completion(body["model"]).whole(texts, **_usage(texts)))

    def _text(self, body: dict[str, Any]) -> WrittenText:
        words = self.writes(body, len(self.asked)).split(" ")
        reason: FinishReason = "stop" if self.tokens is None or len(words) <= self.tokens else "length"
        words = words[: self.tokens]
        return WrittenText(" ".join(words), reason, len(words))

    async def _events(self, body: dict[str, Any], texts: list[WrittenText]) -> AsyncIterator[bytes]:
        completion, asked, life = Completion(body["model"]), body["messages"][-1]["content"], self.deaths
        yield completion.chunk(role="assistant", content="")
        if self.fails_at(asked):
            yield sse(error_object("It failed at this.", status=500))
            return
        if self.dies_of(asked):
            self.deaths += 1
            self._away_until = asyncio.get_running_loop().time() + _AWAY_SECONDS
        while self.is_held or life != self.deaths:
            if life != self.deaths:
                raise ConnectionError("It has died.")
            yield SSE_WORKING if self.ahead is None else sse_queued(self.ahead)
            try:
                await asyncio.wait_for(self._go.wait(), _PATIENCE_SECONDS)
            except TimeoutError:
                continue
        told = [completion.chunk(index=index, content=each.text) for index, each in enumerate(texts)]
        ends = [completion.chunk(each.finish_reason, index=index) for index, each in enumerate(texts)]
        # At once, so that no bot shows half of it before the end.
        yield b"".join([*told, *ends, completion.usage_chunk(**_usage(texts)), SSE_DONE])


def _usage(texts: list[WrittenText]) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": sum(each.tokens for each in texts)}
