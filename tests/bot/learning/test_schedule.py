"""Each slot is run once: at its hour, late after downtime, never twice, in the zone's own time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from bot.common.cron import CronTrigger
from bot.learning.schedule import Schedule
from storage.db.database import Database
from storage.db.errors import DatabaseUnusable
from storage.tables import runs
from tests.support.stored.keys import keyring_in


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def test_a_slot_slept_through_is_run_at_the_start_and_only_once(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    started: list[str] = []
    swept: list[datetime] = []

    async def run_slot(slot: str) -> None:
        started.append(slot)

    async def sweep() -> None:
        swept.append(datetime.now(UTC))

    try:
        await runs.last_slot(db, default=datetime.now(UTC) - timedelta(days=3))
        for starts in (1, 2):
            schedule = Schedule(db=db, trigger=CronTrigger("0 * * * *", "UTC"), run_slot=run_slot)
            await schedule.start(hourly=sweep)
            async with asyncio.timeout(60):
                while len(swept) < starts or not started:
                    await asyncio.sleep(0.01)
            schedule.stop()
    finally:
        await db.close()
    now = datetime.now(UTC)
    assert len(swept) == 2, "each start sweeps"
    assert len(started) == 1 and now - at(started[0]) < timedelta(hours=1, minutes=1)


async def test_a_slot_that_the_disk_refuses_is_tried_again_and_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.learning.schedule.RETRY_SECONDS", 0.05)
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    tries: list[str] = []

    async def run_slot(slot: str) -> None:
        tries.append(slot)
        if len(tries) < 3:
            raise DatabaseUnusable("The disk is full.")

    schedule = Schedule(db=db, trigger=CronTrigger("0 * * * *", "UTC"), run_slot=run_slot)
    try:
        await runs.last_slot(db, default=datetime.now(UTC) - timedelta(hours=2))
        await schedule.start(hourly=AsyncMock())
        async with asyncio.timeout(60):
            while len(tries) < 3:
                await asyncio.sleep(0.01)
    finally:
        schedule.stop()
        await db.close()
    assert len(set(tries)) == 1


class Clock(datetime):
    """A clock that can be put."""

    present = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return cls.present.astimezone(tz)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr("bot.learning.schedule.datetime", Clock)

    def to(text: str) -> None:
        Clock.present = at(text)

    return to


@pytest.mark.parametrize("wrong", ["2026-11-24 05:00", "2026-11-23 21:20", "2026-11-26 23:00", "2026-11-22 08:00"])
@pytest.mark.parametrize("known_since", ["2026-11-22 12:00", None])
@pytest.mark.parametrize("restarts", [True, False])
async def test_a_clock_that_was_wrong_at_the_start_leaves_no_night_out_and_doubles_none(
    db: Database, put: Callable[[str], None], wrong: str, known_since: str | None, *, restarts: bool
) -> None:
    begun: list[str] = []

    async def run_slot(slot: str) -> None:
        run = await runs.start(db, slot=slot, at=Clock.now(UTC))
        if run is not None:
            begun.append(f"{slot} at {Clock.present:%d %H:%M}")
            await runs.end(
                db, run.id, verdict="skipped", reason="too_few_ratings", numbers={}, version=None, at=Clock.now(UTC)
            )

    def schedule() -> Schedule:
        return Schedule(db=db, trigger=CronTrigger("30 3 * * *", "UTC"), run_slot=run_slot)

    if known_since is not None:
        await runs.last_slot(db, default=at(known_since))
    put(wrong)
    present = schedule()
    await present.start(hourly=AsyncMock())
    begun.clear()
    put("2026-11-23 21:00")  # it is put right
    for moment in ("2026-11-23 21:01", "2026-11-24 03:29", "2026-11-24 03:30", "2026-11-24 03:31", "2026-11-24 12:00"):
        if restarts:
            present.stop()
            present = schedule()
            await present.start(hourly=AsyncMock())
        await present._look()
        put(moment)
    await present._look()
    present.stop()
    tonight = [each for each in begun if each.startswith("2026-11-24 03:30 at")]
    assert tonight == ["2026-11-24 03:30 at 24 03:30"], begun


async def test_a_clock_that_is_kept_by_seconds_doubles_nothing(db: Database, put: Callable[[str], None]) -> None:
    begun: list[str] = []

    async def run_slot(slot: str) -> None:
        begun.append(slot)

    put("2026-11-24 03:29:50")
    schedule = Schedule(db=db, trigger=CronTrigger("30 3 * * *", "UTC"), run_slot=run_slot)
    await schedule.start(hourly=AsyncMock())
    for moment in ("2026-11-24 03:30:01", "2026-11-24 03:29:59", "2026-11-24 03:30:19", "2026-11-24 03:30:40"):
        put(moment)
        await schedule._look()
    schedule.stop()
    assert begun == ["2026-11-24 03:30"]


async def test_timers_that_a_wrong_clock_has_set_are_set_anew(
    db: Database, put: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.learning.schedule.CLOCK_SECONDS", 0.01)
    put("2026-11-23 12:00")
    schedule = Schedule(db=db, trigger=CronTrigger("30 3 * * *", "UTC"), run_slot=AsyncMock())
    await schedule.start(hourly=AsyncMock())
    jobs = schedule._scheduler.get_jobs()
    wrong = datetime.now(UTC) + timedelta(days=9)
    for job in jobs:
        job.modify(next_run_time=wrong)
    await asyncio.sleep(0.1)
    assert [job.next_run_time for job in jobs] == [wrong, wrong], "a clock that is right changes nothing"
    put("2026-11-23 09:00")
    async with asyncio.timeout(60):
        while any(job.next_run_time == wrong for job in jobs):
            await asyncio.sleep(0.01)
    schedule.stop()
    assert all(job.next_run_time <= datetime.now(UTC) + timedelta(days=1) for job in jobs)
