"""Our engine as a process of its own, and people who ask it over HTTP: what the serving benchmarks share."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil

from benchmarks.peers import TOPICS
from bot.serving.engine_process import free_port
from engine.api.client import EngineClient
from engine.api.types import Message, Reply, Sampling


@dataclass(frozen=True, slots=True)
class Answer:
    """How long one answer took, in seconds since it was asked for."""

    first_token: float
    whole: float
    tokens: int


class Served:
    """A running engine and a client of it."""

    def __init__(self, client: EngineClient, model: str, process: psutil.Process) -> None:
        self.client = client
        self.model = model
        self._process = process

    @property
    def memory(self) -> int:
        """Bytes that only the engine holds."""
        return int(self._process.memory_full_info().uss)

    async def ask(self, number: int, tokens: int, *, person: str | None = None) -> Answer:
        """Ask for a text of exactly so many tokens, streamed."""
        sampling = Sampling(max_tokens=tokens, ignore_eos=True)
        messages = [Message("user", TOPICS[number % len(TOPICS)])]
        began = time.perf_counter()
        first = 0.0
        async for piece in self.client.stream(messages, sampling, model=self.model):
            first = first or time.perf_counter() - began
            if isinstance(piece, Reply):
                return Answer(first, time.perf_counter() - began, piece.completion_tokens)
        raise RuntimeError("a stream ends with a reply")

    async def burst(self, people: int, tokens: int) -> float:
        """As many people at once, a text each; tokens a second over all."""
        began = time.perf_counter()
        answers = await asyncio.gather(*(self.ask(number, tokens) for number in range(people)))
        return sum(answer.tokens for answer in answers) / (time.perf_counter() - began)


@asynccontextmanager
async def serve(model: str, *options: str) -> AsyncIterator[Served]:
    """Start `python -m engine.serve` with a model and end it afterwards."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.serve", "--port", str(port), "--model", model, *options,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=8)) as http:
            client = EngineClient(f"http://127.0.0.1:{port}", http=http)
            while not await client.is_ready():
                await asyncio.sleep(0.2)
            (name, *_) = await client.models()
            yield Served(client, name, psutil.Process(process.pid))
    finally:
        process.terminate()
        await process.wait()
