"""What choosing one text of several costs: latency, idle and under load; and how long learning a taste takes."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.served import Served, serve
from benchmarks.tables import Row, Table, middle, number, percentile
from bot.common.kinds import load_kinds
from bot.learning import taste as learning
from bot.sandbox.people.tastes import KINDS, TASTES, TOPICS, Taste
from engine.api.types import Message, Reply, Sampling
from engine.data.dataset import RatedGeneration, Rating

REPETITIONS = 5
COUNTS = (1, 8, 16)
LOADS = (0.3, 0.7)
TEXTS, NEW = 400, 10
SECONDS = 10.0
_IDLE = 24
_CROWD = 48
_ANSWER_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: seconds from the question to the choice, the text, and how many it was chosen from."""

    seconds: float
    text: str
    best_of: int


def measure() -> Table:
    """Latency of 4 and of 8 texts against 1, and seconds of a fit."""
    return asyncio.run(_measure())


async def _measure() -> Table:
    taste = next(iter(TASTES.values()))
    async with serve("starter") as engine:
        rows, learned = await _fit_rows(engine, taste)
        idle = [await _in_turn(engine, learned) for _ in _times()]
        rows += _latency_rows("idle", idle, taste)
        capacity = statistics.median([await _at_full_load(engine) for _ in _times()])
        draw = Random(7)
        for load in LOADS:
            loaded = [
                {count: await _arrivals(engine, learned, count, load * capacity, draw) for count in COUNTS}
                for _ in _times()
            ]
            rows += _latency_rows(f"Poisson arrivals at {load:.0%} of {capacity:.0f} texts a second", loaded, taste)
    note = (
        "The starter over HTTP, the bot's kinds, topics and sampling, whole texts of natural length. Medians of"
        f" {REPETITIONS}, with the range; the ratios are within each repetition. The liking is that of the hidden taste"
        f" “{taste.name}”, of which {TEXTS} rated texts are known."
    )
    return Table("Choosing", note, ["", "measured", "goal"], rows)


async def _fit_rows(engine: Served, taste: Taste) -> tuple[list[Row], learning.Taste]:
    """Write and rate texts, and learn from them."""
    draw = Random(1)
    asked = [_asked(number) for number in range(TEXTS + NEW)]
    places = asyncio.Semaphore(_CROWD)

    async def write(number: int) -> Answer:
        async with places:
            return await _ask(engine, None, 1, number)

    answers = await asyncio.gather(*(write(number) for number in range(TEXTS + NEW)))
    rows = [
        RatedGeneration(
            f"{place:04}", "", "room", "ada", "starter", messages, answer.text,
            (Rating("bob", 1.0 if draw.random() < taste.liking(answer.text) else -1.0),),
        )
        for place, ((messages, _), answer) in enumerate(zip(asked, answers, strict=True))
    ]  # fmt: skip
    seconds = []
    for known in (rows[:TEXTS], rows):
        began = time.perf_counter()
        learned = await asyncio.to_thread(learning.fit_taste, known)
        seconds.append(time.perf_counter() - began)
    assert learned is not None, "there are likes and dislikes"
    auroc = "–" if learned.auroc is None else f"{learned.auroc:.2f}"
    return [
        (f"learning a taste from {TEXTS} texts, the first since the start, s", number(seconds[0]), "≤ 1"),
        (f"… and again with {NEW} more, s", number(seconds[1]), "≤ 1"),
        ("… cross-validated AUROC of the house", auroc, ""),
    ], learned


def _latency_rows(name: str, repetitions: Sequence[dict[int, list[Answer]]], taste: Taste) -> list[Row]:
    rows: list[Row] = []
    for count in COUNTS:
        answers = [repetition[count] for repetition in repetitions]
        everything = [answer for each in answers for answer in each]
        quantiles = [[_percentile(each, percent) for each in answers] for percent in (50, 95)]
        singles = [[_percentile(repetition[1], percent) for repetition in repetitions] for percent in (50, 95)]
        best = "one text" if count == 1 else f"best of {count} at most"
        times = "; ".join(middle([1e3 * seconds for seconds in each]) for each in quantiles)
        rows.append((f"{name}, {best}, p50; p95, ms", times, ""))
        if count > 1:
            ratios = [
                statistics.median(own / single for own, single in zip(*pair, strict=True))
                for pair in zip(quantiles, singles, strict=True)
            ]
            rows.append(("… times one text, p50; p95", "; ".join(f"{ratio:.2f}" for ratio in ratios), "≤ 2"))
            compared = statistics.mean(answer.best_of for answer in everything)
            rows.append(("… texts compared, on average", f"{compared:.1f}", ""))
        liking = statistics.mean(taste.liking(answer.text) for answer in everything)
        rows.append(("… hidden liking of the answers", f"{liking:.3f}", ""))
    return rows


def _percentile(answers: Sequence[Answer], percent: float) -> float:
    return percentile([answer.seconds for answer in answers], percent)


def _asked(number: int) -> tuple[tuple[Message, ...], Sampling]:
    """What the bot would send for a kind and topic, the same for the same number."""
    draw = Random(number)
    kinds = load_kinds(model=["starter"]).by_name
    kind, language = kinds[draw.choice(KINDS)], "zh" if draw.random() < 0.3 else "en"
    messages = kind.messages(draw.choice(TOPICS[language]), language=language)
    return messages, kind.sampling(seed=draw.getrandbits(32))


async def _ask(engine: Served, learned: learning.Taste | None, count: int, number: int) -> Answer:
    """What the bot asks, and shows: without a taste the first text."""
    messages, sampling = _asked(number)
    began = time.perf_counter()
    stream = engine.client.stream(
        messages, sampling, model=engine.model, n=count, spare_seconds=_ANSWER_SECONDS if count > 1 else None
    )
    async for piece in stream:
        if isinstance(piece, Reply):
            texts = [each.text for each in piece.texts]
            place = 0
            if learned is not None and len(texts) > 1:
                place = int((await asyncio.to_thread(learned.liking, texts)).argmax())
            return Answer(time.perf_counter() - began, texts[place], len(texts))
    raise RuntimeError("a stream ends with a reply")


async def _in_turn(engine: Served, learned: learning.Taste) -> dict[int, list[Answer]]:
    """One question after the other, each of them once for every count, so that a slow moment is the same for all."""
    answers: dict[int, list[Answer]] = {count: [] for count in COUNTS}
    for question in range(_IDLE):
        for count in COUNTS:
            answers[count].append(await _ask(engine, learned, count, question))
    return answers


async def _at_full_load(engine: Served) -> float:
    """Texts a second, one text an answer, when nobody ever stops asking."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def keep_asking(first: int) -> int:
        texts = 0
        while loop.time() < began + SECONDS / 2:
            await _ask(engine, None, 1, first + texts)
            texts += 1
        return texts

    texts = sum(await asyncio.gather(*(keep_asking(1000 * person) for person in range(_CROWD))))
    return texts / (loop.time() - began)


async def _arrivals(engine: Served, learned: learning.Taste, count: int, rate: float, draw: Random) -> list[Answer]:
    """People who come independently of each other, `rate` a second on average; everybody's answer."""
    loop = asyncio.get_running_loop()
    asked: list[asyncio.Task[Answer]] = []
    at = began = loop.time()
    while at < began + SECONDS:
        asked.append(asyncio.create_task(_ask(engine, learned, count, len(asked))))
        at += draw.expovariate(rate)
        await asyncio.sleep(max(at - loop.time(), 0.0))
    return list(await asyncio.gather(*asked))


def _times() -> range:
    return range(REPETITIONS)
