"""Our engine through HTTP beside `model.generate`, one at a time and in static batches: same weights, same run."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import torch
from transformers import GenerationConfig

from benchmarks.tables import Table, middle
from bot.engine_process import free_port
from engine.chat import Message, Reply, Sampling
from engine.client import EngineClient
from engine.model import Base, load_base

NEW_TOKENS = 64
REPETITIONS = 5
STREAMS = (1, 16, 64)
TOPICS = ("green tea", "autumn rain", "night trains", "the chess club", "绿茶", "秋雨", "夜班火车", "初雪")


def measure() -> Table:
    """Tokens a second for each number of simultaneous streams."""
    base = load_base("starter")
    _alone(base, count=4)  # the first calls warm caches up on either side
    one = [_alone(base, count=4) for _ in range(REPETITIONS)]
    rows = [["model.generate, one at a time", "1", middle(one), "1"]]
    one_at_a_time = sorted(one)[REPETITIONS // 2]
    for size in STREAMS[1:]:
        batch = [_static(base, size) for _ in range(REPETITIONS)]
        ratio = sorted(batch)[REPETITIONS // 2] / one_at_a_time
        rows.append(["model.generate, static batch", str(size), middle(batch), f"{ratio:.1f}"])
    del base
    for size, speeds in asyncio.run(_through_http()).items():
        ratio = sorted(speeds)[REPETITIONS // 2] / one_at_a_time
        rows.append(["Ovation's engine, streaming over HTTP", str(size), middle(speeds), f"{ratio:.1f}"])
    note = f"The starter, {NEW_TOKENS} new tokens a text, temperature 1; the peer is transformers' own `generate`."
    note += f" Medians of {REPETITIONS}, with the range."
    return Table("Serving", note, ["", "at once", "tokens a second", "times one at a time"], rows)


def _prompts(base: Base, count: int) -> Sequence[str]:
    turns = [[{"role": "user", "content": TOPICS[number % len(TOPICS)]}] for number in range(count)]
    return [str(base.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)) for turn in turns]


def _generate(base: Base, prompts: Sequence[str]) -> None:
    base.tokenizer.padding_side = "left"
    inputs = base.tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        base.model.generate(  # type: ignore[operator]
            **inputs, generation_config=_as_ours(base)
        )


def _as_ours(base: Base) -> GenerationConfig:
    """The engine's settings here: from all tokens at temperature 1, and never ending early."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        eos_token_id=base.tokenizer.eos_token_id,
        pad_token_id=base.tokenizer.pad_token_id,
    )


def _alone(base: Base, *, count: int) -> float:
    began = time.perf_counter()
    for prompt in _prompts(base, count):
        _generate(base, [prompt])
    return count * NEW_TOKENS / (time.perf_counter() - began)


def _static(base: Base, size: int) -> float:
    began = time.perf_counter()
    _generate(base, _prompts(base, size))
    return size * NEW_TOKENS / (time.perf_counter() - began)


async def _through_http() -> dict[int, list[float]]:
    async with _engine() as client:
        await _burst(client, 4)
        return {size: [await _burst(client, size) for _ in range(REPETITIONS)] for size in STREAMS}


async def _burst(client: EngineClient, size: int) -> float:
    sampling = Sampling(max_tokens=NEW_TOKENS, ignore_eos=True)

    async def one(number: int) -> int:
        messages = [Message("user", TOPICS[number % len(TOPICS)])]
        async for piece in client.stream(messages, sampling, model="starter"):
            if isinstance(piece, Reply):
                return piece.completion_tokens
        return 0

    began = time.perf_counter()
    tokens = sum(await asyncio.gather(*(one(number) for number in range(size))))
    return tokens / (time.perf_counter() - began)


@asynccontextmanager
async def _engine() -> AsyncIterator[EngineClient]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.serve", "--port", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as http:
            client = EngineClient(f"http://127.0.0.1:{port}", http=http)
            while not await client.is_ready():
                await asyncio.sleep(0.2)
            yield client
    finally:
        process.terminate()
        await process.wait()
