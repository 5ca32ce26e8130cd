"""Ten thousand updates that wait at the stand-in when the bot starts: how soon they are all accepted, and handled."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.crowd import Crowd
from benchmarks.stage import Engine, Stage, staged
from benchmarks.tables import Row, middle

PEOPLE = 160
GROUPS = 10
PROMPTS = 100
CHATTER_SHARE = 0.3
"""Messages between people in a group, which the bot sees and need no answer; the rest are reactions."""

_TEXTS = 60
_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """Seconds from the start of the process."""

    ready: float
    accepted: float
    handled: float
    lost: int


async def measure(engine: Engine, *, updates: int, repetitions: int) -> list[Row]:
    """Let so many updates gather, then start the bot; again and again."""
    taken = [await _once(engine, updates) for _ in range(repetitions)]
    name = f"{updates:,} updates wait when the bot starts"
    return [
        (f"{name}: seconds until it is ready", middle([each.ready for each in taken]), ""),
        ("… until all are accepted", middle([each.accepted for each in taken]), "≤ 30"),
        ("… until all are handled", middle([each.handled for each in taken]), ""),
        ("… prompts among them lost", f"{sum(each.lost for each in taken)} of {PROMPTS * repetitions}", "0"),
    ]


async def _once(engine: Engine, updates: int) -> _Taken:
    async with staged(engine) as stage:
        crowd = Crowd(stage.sandbox, PEOPLE, seed=2, groups=GROUPS)
        await stage.bot.start()
        for _ in range(_TEXTS):
            crowd.prompt()
        assert await crowd.settle(seconds=_LONGEST_SECONDS), "the bot answers"
        await stage.bot.stop()
        _gather(crowd, updates)
        began = time.monotonic()
        await stage.bot.spawn()
        return await _watch(stage, crowd, began)


def _gather(crowd: Crowd, updates: int) -> None:
    """People go on while the bot is away."""
    world = crowd.sandbox.world
    talkers = [(person, chat) for person, chat in crowd.people if not chat.is_private]
    pending = world.updates.pending
    while len(pending) < updates:
        number = len(pending)
        if number % (updates // PROMPTS) == 0:
            crowd.prompt()
        elif number % 10 < 10 * CHATTER_SHARE:
            person, chat = talkers[number % len(talkers)]
            world.say(person, chat, f"I had coffee, number {number}")
        else:
            crowd.react()


async def _watch(stage: Stage, crowd: Crowd, began: float) -> _Taken:
    pending = stage.sandbox.world.updates.pending
    ready = accepted = 0.0
    deadline = began + _LONGEST_SECONDS
    while not (ready and accepted):
        await asyncio.sleep(_PAUSE_SECONDS)
        passed = time.monotonic() - began
        accepted = accepted or (0.0 if pending else passed)
        ready = ready or (passed if stage.bot.log.count(" ready: @") > 1 else 0.0)
        assert time.monotonic() < deadline, "the bot accepts what waits"
    while (await stage.metrics())["ovation_queue_depth"]:
        assert time.monotonic() < deadline, "the bot handles what it has accepted"
        await asyncio.sleep(_PAUSE_SECONDS)
    handled = time.monotonic() - began
    await crowd.settle(seconds=_LONGEST_SECONDS)
    return _Taken(ready, accepted, handled, len(crowd.waiting))
