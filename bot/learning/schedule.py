"""Starts the nightly run at every slot of the cron line, once, and makes up for a slot that the machine slept through.

A slot is named by its local wall time. Nothing is planned ahead, because the clock may be put right at any moment:
every few seconds the schedule looks whether a slot has passed since the last look, which the database knows.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bot.common.cron import CronTrigger
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import runs

logger = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
HOUR_SECONDS = 3600.0

_STEP = timedelta(minutes=1)
"""A clock that goes back by more was wrong; by less it is being kept."""


class Schedule:
    """Calls `run_slot` with the slot's name at each slot."""

    def __init__(self, *, db: Database, trigger: CronTrigger, run_slot: Callable[[str], Awaitable[object]]) -> None:
        self._db = db
        self._trigger = trigger
        self._run_slot = run_slot
        self._since = datetime.now(UTC)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, hourly: Callable[[], Awaitable[object]]) -> None:
        """Make up for a slot that passed while the bot was down, then keep time; `hourly` is done now and each hour."""
        self._since = await runs.last_slot(self._db, default=datetime.now(UTC))
        await self._look()
        self._tasks = [
            asyncio.create_task(self._look_on(), name="schedule"),
            asyncio.create_task(_each_hour(hourly), name="hourly"),
        ]

    def stop(self) -> None:
        """Stop keeping time."""
        for task in self._tasks:
            task.cancel()

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        """Run the slot that is due; where the disk refuses, the next look finds it still due."""
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
        except StorageError as error:
            logger.error("a slot could not be recorded, or its run not begun: %s", error)
        except Exception:
            logger.exception("a slot could not be seen to")


async def _each_hour(action: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await action()
        except Exception:
            logger.exception("what is done each hour could not be done")
        await asyncio.sleep(HOUR_SECONDS)


def _name(slot: datetime) -> str:
    """The wall time, and of one that is there twice the second with its offset."""
    return slot.strftime("%Y-%m-%d %H:%M%z" if slot.fold else "%Y-%m-%d %H:%M")
