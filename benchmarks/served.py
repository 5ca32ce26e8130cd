"""Our engine, or vLLM, as a process of its own, and people who ask it over HTTP: what the serving benchmarks share."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

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

    def __init__(self, url: str, client: EngineClient, model: str, process: psutil.Process) -> None:
        self.url = url
        self.client = client
        self.model = model
        self._process = process

    @property
    def memory(self) -> int:
        """Bytes that only the engine holds, with the processes that it has started."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(int(process.memory_full_info().uss) for process in family)

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


def serve(model: str, *options: str) -> AbstractAsyncContextManager[Served]:
    """Start `python -m engine.serve` with a model and end it afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "engine.serve", "--port", str(port), "--model", model, *options]
    return _running(command, port, os.environ)


def serve_vllm(python: str, model: str, name: str, *, dtype: str = "bfloat16") -> AbstractAsyncContextManager[Served]:
    """The same with the vLLM in that Python's environment, which loads adapters while it runs; `model` is a folder.

    docs/scale-out.md says how such an environment is made.
    """
    port = free_port()
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(port), "--generation-config", "vllm", "--dtype", dtype,
        "--enable-lora", "--max-loras", "2", "--max-cpu-loras", "4", "--max-lora-rank", "16",
    ]  # fmt: skip
    own = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "PATH": os.pathsep.join([str(Path(python).parent), os.environ["PATH"]]),  # it calls its own commands
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return _running(command, port, others | own)


@asynccontextmanager
async def _running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> AsyncIterator[Served]:
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        try:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
            async with httpx.AsyncClient(limits=limits, trust_env=False) as http:
                url = f"http://127.0.0.1:{port}"
                client = EngineClient(url, http=http)
                while not await client.is_ready():
                    if process.returncode is not None:
                        log.seek(0)
                        raise RuntimeError(f"{command[2]} has ended:\n{log.read().decode(errors='replace')[-4000:]}")
                    await asyncio.sleep(0.2)
                (name, *_) = await client.models()
                yield Served(url, client, name, psutil.Process(process.pid))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
