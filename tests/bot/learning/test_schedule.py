"""Each slot is run once: at its hour, late after downtime, never twice, in the zone's own time."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from bot.common.settings import cron_trigger
from bot.learning.schedule import Schedule, missed_slot
from storage.db.database import Database
from storage.db.errors import DatabaseUnusable
from storage.tables import runs
from tests.support.stored.keys import keyring_in


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "now", "slot"),
    [
        ("2026-11-22 04:00", "2026-11-23 03:29", None),
        ("2026-11-22 04:00", "2026-11-23 03:30", "2026-11-23 03:30"),
        ("2026-11-20 04:00", "2026-11-23 12:00", "2026-11-23 03:30"),
        ("2026-11-23 03:30:00.1", "2026-11-23 12:00", None),
        ("2020-01-01 00:00", "2026-11-23 12:00", "2026-11-23 03:30"),
        ("2026-11-23 05:00", "2026-11-23 03:35", None),  # the clock was set back
        ("2038-01-19 03:00", "2038-01-20 12:00", "2038-01-20 03:30"),
    ],
)
def test_the_latest_missed_slot_is_made_up_for(since: str, now: str, slot: str | None) -> None:
    found = missed_slot(cron_trigger("30 3 * * *", "UTC"), since=at(since), now=at(now))
    assert found == (None if slot is None else at(slot))


def test_the_hour_that_repeats_in_autumn_is_one_slot() -> None:
    trigger = cron_trigger("30 2 * * *", "Europe/Berlin")
    first = missed_slot(trigger, since=at("2026-10-24 12:00"), now=at("2026-10-25 00:31"))
    second = missed_slot(trigger, since=at("2026-10-25 00:31"), now=at("2026-10-25 12:00"))
    assert first is not None
    names = {slot.strftime("%Y-%m-%d %H:%M") for slot in (first, second) if slot is not None}
    assert names == {"2026-10-25 02:30"}


@pytest.mark.parametrize(("weekdays", "first_day"), [("0", 6), ("7", 6), ("1", 0), ("1-5", 0), ("fri", 4), ("5-7", 4)])
def test_weekdays_are_those_of_cron(weekdays: str, first_day: int) -> None:
    trigger = cron_trigger(f"0 3 * * {weekdays}", "UTC")
    monday = at("2026-11-23 00:00")
    fire = trigger.get_next_fire_time(None, monday)
    assert fire is not None and fire.weekday() == first_day


@pytest.mark.parametrize("line", ["", "at night", "99 3 * * *", "0 3 * * 8", "0 3 * *"])
def test_what_is_no_cron_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        cron_trigger(line, "UTC")


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
            schedule = Schedule(db=db, line="0 * * * *", timezone="UTC", run_slot=run_slot)
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

    schedule = Schedule(db=db, line="0 * * * *", timezone="UTC", run_slot=run_slot)
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
