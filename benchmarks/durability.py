"""What a commit costs: updates and ratings made durable, beside plain SQLite with a commit for each row.

Same disk, same pragmas, same table, same run. Drives the storage itself, without a bot.
"""

import asyncio
import os
import random
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.stage import DISK
from benchmarks.tables import Row, middle, percentile
from storage.db.database import _PRAGMAS, Database
from storage.db.keyring import Keyring
from storage.db.records import ChatMessage, Delivery, NewGeneration, RatingEvent, Reaction
from storage.tables import generations, inbox, ratings

BATCH = 100
TEXTS = 2_000
RATERS = 500
AT_ONCE = (64, 512)
CHANGES_OF_MIND = (1_000, 10_000, 100_000)
"""Of one person about one text."""
_LOOKED_AT = 500
"""Events whose mean is taken, up to each of these."""

_NOW = datetime.now(UTC)
_BODY = (
    '{"update_id": 700000001, "message_reaction": {"chat": {"id": -1000004000001, "type": "supergroup", "title":'
    ' "The crowd"}, "message_id": 1200, "date": 1790000000, "user": {"id": 100001, "is_bot": false, "first_name":'
    ' "Person 1", "language_code": "en"}, "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "🔥"}]}}'
)


@dataclass(frozen=True, slots=True)
class _Costs:
    """One repetition: milliseconds a batch, rows a second, and microseconds for the disk alone."""

    accept_ms: list[float]
    plain: float
    rated: dict[int, float]
    sync_us: float
    changed_ms: list[float]
    """Milliseconds an event after each of `CHANGES_OF_MIND`, without the disk's part: one commit for all."""

    @property
    def accepted(self) -> float:
        return BATCH * 1000 / statistics.mean(self.accept_ms)


def measure(*, repetitions: int, rows: int) -> list[Row]:
    """The rows on durability; `rows` ratings, and as many updates, in each repetition."""
    measured = [asyncio.run(_once(rows)) for _ in range(repetitions)]

    def accept(percent: int) -> str:
        return middle([percentile(each.accept_ms, percent) for each in measured])

    table: list[Row] = [
        (f"{BATCH} updates accepted to disk, p50, ms", accept(50), ""),
        ("… p99, ms", accept(99), "≤ 50"),
        ("a page written and synced on this disk, µs", middle([each.sync_us for each in measured]), ""),
        ("plain SQLite, a commit a rating, ratings a second", middle([each.plain for each in measured]), ""),
    ]
    for at_once in AT_ONCE:
        rated = [each.rated[at_once] for each in measured]
        times = middle([each.rated[at_once] / each.plain for each in measured])
        table.append((f"`placing.react` from {at_once} tasks, ratings a second", middle(rated), ""))
        table.append(("… times plain SQLite", times, "≥ 10"))
    for place, count in enumerate(CHANGES_OF_MIND):
        changed = middle([each.changed_ms[place] for each in measured])
        table.append((f"one person's change of mind number {count:,} about one text, ms", changed, "flat"))
    table.append(("accepted in batches, updates a second", middle([each.accepted for each in measured]), ""))
    table.append(("… times plain SQLite", middle([each.accepted / each.plain for each in measured]), "≥ 10"))
    return table


async def _once(rows: int) -> _Costs:
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = Path(folder) / "ovation.db"
        db = await Database.open(path, Keyring.create(path.with_name("keyring.jsonl"), bytes(32)))
        try:
            await _write_texts(db)
            accept_ms = await _accept(db, rows // BATCH)
            rated = {at_once: await _rate(db, rows, at_once) for at_once in AT_ONCE}
            changed_ms = await db.write(_change_mind)
        finally:
            await db.close()
        return _Costs(accept_ms, _rate_plainly(path, rows // 4), rated, _sync(Path(folder)), changed_ms)


async def _write_texts(db: Database) -> None:
    async def write(number: int) -> None:
        new = NewGeneration(
            update_id=number,
            kind="slogan",
            chat=f"chat {number % 30}",
            author=f"author {number % 100}",
            messages=(
                ChatMessage("system", "Write one slogan about the topic."),
                ChatMessage("user", f"green tea {number}"),
            ),
            seed=number,
            created_at=_NOW,
            delivery=Delivery(chat_id=-(number % 30) - 1, reply_to=number, language="en"),
        )
        accepted = await generations.accept(db, new)
        assert accepted is not None, "each update is new"
        await ratings.record_placeholder(db, accepted.id, message_id=number)
        await generations.write_text(db, accepted.id, text="Tea, greener than ever. " * 4, version="starter")
        await generations.end(db, accepted.id, delivered=True, at=_NOW)

    await asyncio.gather(*(write(number) for number in range(TEXTS)))


async def _accept(db: Database, batches: int) -> list[float]:
    milliseconds = []
    for batch in range(batches):
        updates = [(10**9 + batch * BATCH + number, _BODY) for number in range(BATCH)]
        began = time.perf_counter()
        await inbox.accept(db, updates, at=_NOW)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return milliseconds


async def _rate(db: Database, count: int, at_once: int) -> float:
    """People react on all the texts; every rating a second."""

    async def rater(seed: int) -> None:
        rng = random.Random(seed)
        for turn in range(count // at_once):
            number = 10**6 * at_once + turn * at_once + seed
            text = rng.randrange(TEXTS)
            reaction = Reaction(
                update_id=number,
                chat_id=-(text % 30) - 1,
                message_id=text,
                rater=f"rater {rng.randrange(RATERS)}",
                value=1.0,
                emoji="🔥",
                at=_NOW + timedelta(milliseconds=number),
            )
            assert await ratings.record_reaction(db, reaction) is not None, "every message shows a text"

    began = time.perf_counter()
    await asyncio.gather(*(rater(seed) for seed in range(at_once)))
    return count // at_once * at_once / (time.perf_counter() - began)


def _change_mind(connection: sqlite3.Connection) -> list[float]:
    """React and press in turn, without end."""
    milliseconds = []
    for number in range(1, max(CHANGES_OF_MIND) + 1):
        if number + _LOOKED_AT - 1 in CHANGES_OF_MIND:
            began = time.perf_counter()
        event = RatingEvent(
            update_id=10**12 + number, generation=1, rater="changes their mind", value=(1.0, -1.0)[number % 3 == 0],
            source="button" if number % 2 else "reaction", emoji="🔥", at=_NOW + timedelta(seconds=number // 10),
        )  # fmt: skip
        (ratings.record_button if number % 2 else ratings.record)(connection, event)
        if number in CHANGES_OF_MIND:
            milliseconds.append(1000 * (time.perf_counter() - began) / _LOOKED_AT)
    return milliseconds


def _rate_plainly(path: Path, count: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    began = time.perf_counter()
    for number in range(count):
        connection.execute(
            "INSERT INTO rating_events (update_id, generation, rater, source, value, emoji, at)"
            " VALUES (?, ?, ?, 'reaction', 1.0, '🔥', ?)",
            (-1 - number, 1 + number % TEXTS, f"rater {number % RATERS}", _NOW.isoformat()),
        )
    rate = count / (time.perf_counter() - began)
    connection.close()
    return rate


def _sync(folder: Path) -> float:
    """Median microseconds for one page and its sync, as in a log that need not grow."""
    durations = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(1000):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            durations.append(1e6 * (time.perf_counter() - began))
    return statistics.median(durations)
