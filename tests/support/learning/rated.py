"""What the tests of tastes share: the starter's texts, rated by simple rules, and how the engine is asked for more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx

from engine.api.types import ONE_TEXT, Message, RatedText, Sampling, Selection
from engine.inference.engine import Engine, TextStream
from engine.server.app import build_app

TOPICS = ("green tea", "a night train", "my cat", "the rain", "fresh bread", "an old bike", "winter", "a lighthouse")
DRAWN = Sampling(max_tokens=32, temperature=1.0, top_p=0.95)
HOUSE = Selection(best_of=6, taste="house")


def likes_long(text: str) -> bool:
    return len(text) > 55


def likes_short(text: str) -> bool:
    return not likes_long(text)


def prompt(number: int) -> tuple[Message, ...]:
    return (Message("user", f"Write a slogan on {TOPICS[number % len(TOPICS)]}"),)


def ask(
    engine: Engine, number: int = 0, sampling: Sampling = DRAWN, selection: Selection = ONE_TEXT, **more: object
) -> TextStream:
    return engine.submit(prompt(number), sampling, model="starter", selection=selection, **more)  # type: ignore[arg-type]


async def text_of(generation: TextStream) -> str:
    return "".join([delta async for delta in generation.deltas()])


async def write(engine: Engine, count: int) -> list[str]:
    """So many texts of the starter, on all topics."""
    drawn = [Sampling(max_tokens=32, temperature=1.0, seed=number) for number in range(count)]
    return list(await asyncio.gather(*(text_of(ask(engine, number, each)) for number, each in enumerate(drawn))))


def rate(texts: Sequence[str], is_liked: Callable[[str], bool]) -> list[RatedText]:
    return [
        RatedText(prompt(number), text, 1.0 if is_liked(text) else -1.0, 1 / 3) for number, text in enumerate(texts)
    ]


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60) as http:
        yield http
