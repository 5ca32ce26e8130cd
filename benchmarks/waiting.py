"""How long people wait for our engine: alone, sixteen at once, and arriving at random at 70 % of what it can do."""

import asyncio
import random
import statistics

from benchmarks.served import Answer, Served, serve
from benchmarks.tables import Table, middle, percentile

REPETITIONS = 5
TOKENS = 64
CROWD = 16
LOAD = 0.7
FULL = 64
SECONDS = 15.0
_IDLE = 12


def measure() -> Table:
    """Time to first token and to the whole text."""
    alone, crowd, poisson, capacity = asyncio.run(_measure())
    first = [percentile([answer.first_token for answer in answers], 95) for answers in alone]
    crowd_first = [percentile([answer.first_token for answer in answers], 95) for answers in crowd]
    whole = [percentile([answer.whole for answer in answers], 95) for answers in alone]
    poisson_whole = [percentile([answer.whole for answer in answers], 95) for answers in poisson]
    rows = [
        ("first token, one person, p95, ms", middle([1e3 * value for value in first]), ""),
        (f"first token, {CROWD} people at once, p95, ms", middle([1e3 * value for value in crowd_first]), ""),
        ("… times the idle one", f"{statistics.median(crowd_first) / statistics.median(first):.1f}", "≤ 3"),
        ("whole text, one person, p95, ms", middle([1e3 * value for value in whole]), ""),
        (f"capacity: texts a second for {FULL} people who ask again and again", f"{capacity:.1f}", ""),
        (f"whole text, Poisson arrivals at {LOAD:.0%} of that, p95, ms", middle([1e3 * v for v in poisson_whole]), ""),
        ("… times the idle one", f"{statistics.median(poisson_whole) / statistics.median(whole):.1f}", "≤ 2"),
    ]
    note = (
        f"The starter over HTTP, {TOKENS} new tokens a text, streamed. Medians of {REPETITIONS}, with the range;"
        f" arrivals for {SECONDS:.0f} s each time."
    )
    return Table("Waiting", note, ["", "measured", "goal"], rows)


async def _measure() -> tuple[list[list[Answer]], list[list[Answer]], list[list[Answer]], float]:
    async with serve("starter") as engine:
        await engine.burst(4, TOKENS)
        alone = [[await engine.ask(number, TOKENS) for number in range(_IDLE)] for _ in range(REPETITIONS)]
        crowd = [
            list(await asyncio.gather(*(engine.ask(number, TOKENS) for number in range(CROWD))))
            for _ in range(REPETITIONS)
        ]
        capacity = statistics.median([await _at_full_load(engine) for _ in range(REPETITIONS)])
        draw = random.Random(11)
        return alone, crowd, [await _arrivals(engine, LOAD * capacity, draw) for _ in range(REPETITIONS)], capacity


async def _at_full_load(engine: Served) -> float:
    """Texts a second when nobody ever stops asking."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def keep_asking(number: int) -> int:
        texts = 0
        while loop.time() < began + SECONDS / 3:
            await engine.ask(number, TOKENS)
            texts += 1
        return texts

    texts = sum(await asyncio.gather(*(keep_asking(number) for number in range(FULL))))
    return texts / (loop.time() - began)


async def _arrivals(engine: Served, rate: float, draw: random.Random) -> list[Answer]:
    """People who come independently of each other, `rate` a second on average; everybody's answer."""
    asked: list[asyncio.Task[Answer]] = []
    loop = asyncio.get_running_loop()
    at = began = loop.time()
    while at < began + SECONDS:
        asked.append(asyncio.create_task(engine.ask(len(asked), TOKENS)))
        at += draw.expovariate(rate)
        await asyncio.sleep(max(at - loop.time(), 0.0))
    return list(await asyncio.gather(*asked))
