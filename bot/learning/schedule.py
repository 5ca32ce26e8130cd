"""Starts the nightly run at every slot of the cron line, once, and makes up for a slot that the machine slept through.

A slot is named by its local wall time. APScheduler's own memory is not relied on: the database knows up to when slots
were seen to.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.common.cron import CronTrigger
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import runs

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0


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

    async def start(self, *, hourly: Callable[[], Awaitable[object]]) -> None:
        """Make up for a slot that passed while the bot was down, then keep time; `hourly` is done now and each hour."""
        self._since = await runs.last_slot(self._db, default=datetime.now(UTC))
        await self._look()
        self._scheduler.add_job(self._look, self._trigger)
        self._scheduler.add_job(hourly, "interval", hours=1, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        """Stop keeping time."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def _look(self) -> None:
        """Run the slot that is due; where the disk refuses, try again soon: the slot is still due then."""
        now = datetime.now(UTC)
        try:
            slot = self._trigger.latest(since=self._since, now=now)
            if slot is not None:
                logger.info("the slot of %s is due", slot.isoformat())
                await self._run_slot(_name(slot))
            self._since = now
            await runs.record_slot(self._db, at=now)
        except StorageError as error:
            logger.error("a slot could not be recorded, or its run not begun: %s", error)
            again = datetime.now(UTC) + timedelta(seconds=RETRY_SECONDS)
            self._scheduler.add_job(self._look, "date", run_date=again)


def _name(slot: datetime) -> str:
    """The wall time, and of one that is there twice the second with its offset."""
    return slot.strftime("%Y-%m-%d %H:%M%z" if slot.fold else "%Y-%m-%d %H:%M")
