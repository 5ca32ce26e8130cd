"""A day's updates in a quarter of an hour: mostly reactions, some prompts, some sent twice, some that are garbage.

As many as the bot takes over HTTP, with the stand-in never ahead by more than a wave. Then the reckoning: is everything
there, once, and has the bot stayed as large as it was?
"""

import asyncio
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from typing import get_args

from benchmarks.crowd import LOOK_SECONDS, Crowd
from benchmarks.stage import Engine, Stage, staged
from benchmarks.tables import Row, number
from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.world.records import Json
from bot.sandbox.world.updates import Waiting
from bot.telegram.admission import Dropped
from storage.backup.integrity import DatabaseReport, examine
from storage.db.database import open_for_reading

PEOPLE = 320
GROUPS = 20
WAVE = 2_000
"""Updates that are put before the bot together."""
AT_ONCE = 48
"""Prompts that wait for their answers at one time: as many as Telegram's limits keep the bot busy with."""
REPEATED = 20
GARBAGE: tuple[Json, ...] = (
    {"message_id": 1},
    {"message_id": 1, "date": 10**18, "chat": {"id": 1, "type": "private"}},
    {"message_id": "one", "date": "never", "chat": "nowhere"},
)
"""Messages that the Bot API's rules forbid, one of each in every wave."""

_CALLS_KEPT = 1_000
_TEXTS = 100
_PAUSE_SECONDS = 0.002
_SETTLE_SECONDS = 600.0


@dataclass(slots=True)
class _Size:
    """How large the bot is, again and again: MiB and open files; and the most that its log has held, in bytes."""

    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    wal: int = 0

    def look(self, stage: Stage) -> None:
        """Measure now."""
        self.memory.append(stage.memory_mib)
        self.files.append(stage.process.num_fds())
        self.wal = max(self.wal, stage.wal_bytes)

    def rows(self) -> list[Row]:
        """As rows of a table."""
        tenth = len(self.memory) // 10 + 1
        growth = 100 * (self.memory[-1] / self.memory[tenth - 1] - 1)
        files = f"{max(self.files[:tenth])}, {max(self.files[-tenth:])}"
        return [
            ("… most open files in the first tenth, in the last", files, "no more"),
            (
                "… memory after the first tenth, MiB; growth",
                f"{number(self.memory[tenth - 1])}; {growth:+.1f} %",
                "± 5 %",
            ),
            ("… the write-ahead log at its largest, MiB", number(self.wal / 2**20), "≤ 64"),
        ]


@dataclass(slots=True)
class _Sent:
    """What was put before the bot in waves."""

    updates: int = 0
    repeated: int = 0
    garbage: int = 0


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the database holds in the end."""

    condition: DatabaseReport
    updates: int

    @classmethod
    def of(cls, stage: Stage) -> "_Stored":
        """Read it, after the bot has stopped."""
        path = stage.bot.folder / "data" / "ovation.db"
        with closing(open_for_reading(path)) as connection:
            (updates,) = connection.execute("SELECT count(*) FROM inbox").fetchone()
        return cls(examine(path), updates)


async def measure(engine: Engine, *, updates: int) -> list[Row]:
    """Send so many."""
    async with staged(engine, flood_limits=FloodLimits()) as stage:
        stage.sandbox.keep_calls(_CALLS_KEPT)
        first = stage.sandbox.world.updates._next_id
        await stage.bot.start()
        crowd = Crowd(stage.sandbox, PEOPLE, seed=6, groups=GROUPS)
        for _ in range(_TEXTS):
            crowd.prompt()
        assert await crowd.settle(seconds=_SETTLE_SECONDS), "the bot answers"
        sent, size = _Sent(), _Size()
        began = time.monotonic()
        await _pour(stage, crowd, sent, size, updates)
        seconds = time.monotonic() - began
        toll = await crowd.reckon(stage.bot, seconds=_SETTLE_SECONDS)
        size.look(stage)
        metrics = await stage.metrics()
        known, floods = metrics["ovation_duplicate_updates_total"], metrics["ovation_429s_total"]
        turned_away = sum(metrics[f"ovation_dropped_total{reason}"] for reason in get_args(Dropped))
        superseded = metrics["ovation_dropped_totalsuperseded"]  # stored, unless by one of the same batch
        await stage.bot.stop()
        stored = _Stored.of(stage)
    condition, created = stored.condition, stage.sandbox.world.updates._next_id - first
    missing = max(0.0, created - stored.updates - turned_away)
    return [
        *toll.rows(f"{sent.updates:,} updates in {seconds:.0f} s"),
        ("… of all updates ever, missing and unhandled", f"{missing:.0f}, {condition.waiting}", "0, 0"),
        (
            "… not let in, and superseded by a later reaction",
            f"{turned_away - superseded:.0f}, {superseded:.0f}",
            "0, –",
        ),
        ("… sent a second time, and seen to be", f"{sent.repeated}, {known:.0f}", "the same"),
        ("… garbage, and given up", f"{sent.garbage}, {condition.dead_letters}", "the same"),
        *size.rows(),
        ("… integrity of the database", condition.damage or "ok", "ok"),
        ("… answers with status 429", f"{floods:.0f}", "0"),
    ]


async def _pour(stage: Stage, crowd: Crowd, sent: _Sent, size: _Size, updates: int) -> None:
    """Wave after wave, each as soon as the last one is taken."""
    queue = stage.sandbox.world.updates
    looked = 0.0
    before: deque[Waiting] = deque(maxlen=REPEATED)
    while sent.updates < updates:
        if time.monotonic() - looked > LOOK_SECONDS:
            crowd.look()
            looked = time.monotonic()
            size.look(stage)
        if queue.pending or queue._poller is None:  # what is sent again has to come before what is new
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        queue.pending.extend(before)
        sent.repeated += len(before)
        _make_wave(crowd, sent, min(WAVE, updates - sent.updates))
        before.extend(queue.pending)


def _make_wave(crowd: Crowd, sent: _Sent, count: int) -> None:
    """New updates, all before the bot sees the first."""
    queue = crowd.sandbox.world.updates
    before = len(queue.pending)
    for payload in GARBAGE:
        sent.garbage += queue.add("message", payload)
    for _ in range(min(AT_ONCE - len(crowd.waiting), AT_ONCE // 4)):
        crowd.prompt()
    while len(queue.pending) - before < count:
        crowd.react()
    sent.updates += len(queue.pending) - before
