"""Starts the nightly run at every slot of the cron line, once, and makes up for a slot that the machine slept through.

A slot is named by its local wall time. APScheduler's own memory is not relied on: the database knows up to when slots
were seen to. Nor are its timers where the clock is put right, for they are set by the clock that was wrong.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bot.common.cron import CronTrigger
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import runs

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
CLOCK_SECONDS = 20.0
"""So often somebody looks whether the clock was put."""

_STEP = timedelta(minutes=1)
"""A clock that moves by more was wrong; by less it is being kept."""
_NIGHTLY, _HOURLY = "nightly", "hourly"


class Schedule:
    """Calls `run_slot` with the slot's name at each slot."""

    def __init__(self, *, db: Database, trigger: CronTrigger, run_slot: Callable[[str], Awaitable[object]]) -> None:
        self._db = db
        self._trigger = trigger
        self._run_slot = run_slot
        self._since = datetime.now(UTC)
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._clock: asyncio.Task[None] | None = None

    async def start(self, *, hourly: Callable[[], Awaitable[object]]) -> None:
        """Make up for a slot that passed while the bot was down, then keep time; `hourly` is done now and each hour."""
        self._since = await runs.last_slot(self._db, default=datetime.now(UTC))
        await self._look()
        self._scheduler.add_job(self._look, self._trigger, id=_NIGHTLY)
        self._scheduler.add_job(hourly, IntervalTrigger(hours=1), id=_HOURLY, next_run_time=datetime.now(UTC))
        self._scheduler.start()
        self._clock = asyncio.create_task(self._mind_the_clock(), name="clock")

    def stop(self) -> None:
        """Stop keeping time."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._clock is not None:
            self._clock.cancel()

    async def _mind_the_clock(self) -> None:
        """Plan anew wherever the clock moves by itself, against the time that passes."""
        right = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now = datetime.now(UTC) - timedelta(seconds=time.monotonic())
            if abs(now - right) > _STEP:
                self._plan_anew()
            right = now

    def _plan_anew(self) -> None:
        """Set the timers by the clock as it is now, and see whether a slot is due by it."""
        self._scheduler.reschedule_job(_NIGHTLY, trigger=self._trigger)
        self._scheduler.reschedule_job(_HOURLY, trigger=IntervalTrigger(hours=1))
        self._scheduler.add_job(self._look)  # at once, and what it raises is logged there

    async def _look(self) -> None:
        """Run the slot that is due; where the disk refuses, try again soon: the slot is still due then."""
        now = datetime.now(UTC)
        if self._since - now > _STEP:
            logger.warning("The clock was ahead and has been put right, by %s.", self._since - now)
            self._since = now
        try:
            slot = self._trigger.latest(since=self._since, now=now)
            if slot is not None:
                logger.info("the slot of %s is due", slot.isoformat())
                await self._run_slot(_name(slot))
            await runs.record_slot(self._db, at=now)
            self._since = max(self._since, now)
        except (StorageError, OSError) as error:
            logger.error("a slot could not be recorded, or its run not begun: %s", error)
            again = datetime.now(UTC) + timedelta(seconds=RETRY_SECONDS)
            self._scheduler.add_job(self._look, "date", run_date=again)


def _name(slot: datetime) -> str:
    """The wall time, and of one that is there twice the second with its offset."""
    return slot.strftime("%Y-%m-%d %H:%M%z" if slot.fold else "%Y-%m-%d %H:%M")
