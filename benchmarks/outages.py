"""What others may do to the bot under load: Telegram asks for patience, the engine dies, the network goes.

Each time: what is lost, what is answered twice, and how soon people are answered again.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from benchmarks.crowd import Crowd, Toll
from benchmarks.stage import Engine, Stage, staged
from benchmarks.tables import Row, number
from bot.sandbox.api.faults import ANY_METHOD, FloodLimits

PEOPLE = 160
GROUPS = 10
PROMPTS_PER_SECOND = 2.0
REACTIONS_PER_SECOND = 8.0

_WARM_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
_AFTER_SECONDS = 10.0
_LONGEST_SECONDS = 600.0
_REFUSALS = 20_000
"""More than a bot can meet before the storm is over."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an outage has cost. Seconds are counted from its end; infinite for what did not come."""

    toll: Toll
    waiting: int
    """Prompts that had no answer at its end."""
    first_answer: float
    all_answered: float
    """Until those that waited had their answers."""

    def rows(self, name: str) -> list[Row]:
        """As rows of a table."""
        return [
            *self.toll.rows(name),
            ("… from its end until the first new answer, seconds", number(self.first_answer), "≤ 5"),
            (f"… until the {self.waiting} that waited are answered, seconds", number(self.all_answered), ""),
        ]


Harm = Callable[[Stage], AbstractAsyncContextManager[None]]
"""An outage, which lasts as long as its block."""


async def measure(engine: Engine, *, storm_seconds: float, away_seconds: float) -> list[Row]:
    """One outage of each sort."""
    storm = await suffer(engine, storm_of_429, seconds=storm_seconds)
    dead = await suffer(engine, Stage.without_engine, seconds=away_seconds)
    gone = await suffer(engine, Stage.without_network, seconds=away_seconds)
    return [
        *storm.rows(f"429 to every call for {storm_seconds:.0f} s"),
        *dead.rows(f"the engine dead for {away_seconds:.0f} s"),
        *gone.rows(f"the network gone for {away_seconds:.0f} s"),
    ]


@asynccontextmanager
async def storm_of_429(stage: Stage) -> AsyncIterator[None]:
    """Every call is refused with a wait of one to three seconds."""
    rng = random.Random(3)
    for _ in range(_REFUSALS):
        stage.sandbox.faults.refuse(ANY_METHOD, 429, retry_after_seconds=rng.randint(1, 3))
    try:
        yield
    finally:
        stage.sandbox.faults.clear()


async def suffer(engine: Engine, harm: Harm, *, seconds: float) -> Recovery:
    """Let people use a bot before, during and after an outage, then reckon."""
    async with staged(engine, flood_limits=FloodLimits()) as stage:
        await stage.bot.start()
        crowd = Crowd(stage.sandbox, PEOPLE, seed=5, groups=GROUPS)
        acting = asyncio.create_task(
            crowd.act(prompts_per_second=PROMPTS_PER_SECOND, reactions_per_second=REACTIONS_PER_SECOND)
        )
        await asyncio.sleep(_WARM_SECONDS)
        async with harm(stage):
            await asyncio.sleep(seconds)
            crowd.look()
            waiting = {(asked.chat.id, asked.id) for asked in crowd.waiting}
        first_answer, all_answered = await _watch(crowd, waiting)
        await asyncio.sleep(_AFTER_SECONDS)
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        toll = await crowd.reckon(stage.bot, seconds=_LONGEST_SECONDS)
        return Recovery(toll, len(waiting), first_answer, all_answered)


async def _watch(crowd: Crowd, waiting: set[tuple[int, int]]) -> tuple[float, float]:
    """Seconds until the first of those that wait is answered, and until all are."""
    began = time.monotonic()
    first = left = float("inf")
    while left and time.monotonic() - began < _LONGEST_SECONDS:
        await asyncio.sleep(_PAUSE_SECONDS)
        crowd.look()
        left = sum((asked.chat.id, asked.id) in waiting for asked in crowd.waiting)
        if left < len(waiting):
            first = min(first, time.monotonic() - began)
    return first, float("inf") if left else time.monotonic() - began
