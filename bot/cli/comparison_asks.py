"""What every compared model is asked, and its answers over HTTP, timed. Knows an engine by its client, and no taste."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx

from bot.common.kinds import MIN_P, TEMPERATURE, TOP_P, Kind, language_of_topic
from bot.common.plain import plain
from bot.sandbox.people.topics import TOPICS, Asked
from bot.serving.engine_process import EngineProcess, free_port
from engine.api.chat import Message, Sampling
from engine.api.client import EngineClient
from recipes.grammar import Language

RATED, UNRATED = 0, 1
"""Every second topic is one on which people rate texts; nobody rates any on the others."""
AT_ONCE = 8
_CHINESE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; with the same seed every model is asked the same."""

    asked: Asked
    messages: tuple[Message, ...]
    seed: int
    half: int
    """`RATED` or `UNRATED`."""

    @property
    def language(self) -> Language:
        """The language to answer in."""
        return "zh" if language_of_topic(self.asked.topic) == "zh" else "en"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast texts came, as somebody with a watch would say."""

    texts_a_second: float
    ms_a_token: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The texts, in the order of the asks, and how fast they came."""

    texts: tuple[str, ...]
    pace: Pace


def make_asks(kind: Kind, count: int, chance: Random, *, halves: Sequence[int]) -> list[Ask]:
    """So many asks for a kind, on topics of these halves in turn."""
    made = []
    for place in range(count):
        language = "zh" if chance.random() < _CHINESE_SHARE else "en"
        half = halves[place % len(halves)]
        made.append(ask_for(kind, chance.choice(TOPICS[language][half::2]), chance, half=half))
    return made


def ask_for(kind: Kind, topic: str, chance: Random, *, half: int) -> Ask:
    """An ask as the bot would send it."""
    messages = (Message("system", kind.instruction[language_of_topic(topic)]), Message("user", topic))
    return Ask(Asked(kind.name, topic), messages, chance.randrange(2**31), half)


async def answers(
    client: EngineClient,
    version: str,
    asks: Sequence[Ask],
    kind: Kind,
    *,
    at_once: int = AT_ONCE,
    on_done: Callable[[float], None] = lambda _: None,
) -> Answers:
    """What a version writes for the asks, `at_once` of them at a time; `on_done` hears the share that is written.

    Raises:
        EngineError: the engine does not answer.
    """
    turns = asyncio.Semaphore(at_once)
    written = 0

    async def answer(ask: Ask) -> tuple[str, int]:
        nonlocal written
        sampling = Sampling(
            max_tokens=kind.max_tokens, temperature=TEMPERATURE, top_p=TOP_P, min_p=MIN_P, seed=ask.seed
        )
        async with turns:
            reply = await client.complete(ask.messages, sampling, model=version)
        written += 1
        on_done(written / len(asks))
        return plain(reply.text), reply.completion_tokens

    began = time.perf_counter()
    replies = await asyncio.gather(*map(answer, asks))
    seconds = time.perf_counter() - began
    tokens = sum(count for _, count in replies)
    return Answers(tuple(text for text, _ in replies), Pace(len(asks) / seconds, 1000.0 * seconds / max(1, tokens)))


@asynccontextmanager
async def engine_for(model: str, versions: Path) -> AsyncIterator[EngineClient]:
    """An engine of our own with this base, for as long as it is needed; it loads versions from `versions`.

    Raises:
        StartError: the model cannot be loaded.
    """
    port = free_port()
    async with httpx.AsyncClient() as http:
        client = EngineClient(f"http://127.0.0.1:{port}", http=http)
        process = EngineProcess(model=model, port=port, versions=versions, client=client)
        try:
            await process.start(lambda: asyncio.sleep(0))
            yield client
        finally:
            await process.stop()
