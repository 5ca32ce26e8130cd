"""Each slot is run once: at its hour, late after downtime, never twice, in the zone's own time."""

import asyncio
from datetime import UTC, datetime, timedelta
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
