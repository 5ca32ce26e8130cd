"""Cleaning: what was erased is got off the disk, and what is there is backed up; each night, and after a /forget.

A failure is told to the admins and tried again the next night. Knows the order, not how either is done.
"""

import logging

from bot.messaging.alarm import Alarm
from bot.operations.backups import Backups
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.privacy import erasure

logger = logging.getLogger(__name__)


class Cleaning:
    """Keeps the data folder as it should be. `keep` backups are kept; 0 makes none at night."""

    def __init__(self, *, db: Database, backups: Backups, alarm: Alarm, keep: int) -> None:
        self._db = db
        self._backups = backups
        self._alarm = alarm
        self._keep = keep

    async def nightly(self) -> None:
        """Clean, then back up what is left."""
        await self.clean()
        if not self._keep:
            return
        try:
            made = await self._backups.make()
        except (StorageError, OSError) as error:
            logger.error("no backup tonight: %s", error)
            self._alarm.tell("alarm-backup")
        else:
            logger.info("backup %s is made and verified", made.name)

    async def clean(self) -> None:
        """Get what was erased out of the free pages, the log and the backups."""
        try:
            if not await erasure.purge(self._db):
                logger.info("somebody is reading; the night empties the log")
            scrubbed = await self._backups.scrub()
        except (StorageError, OSError) as error:
            logger.error("what was erased is not yet off the disk; the night tries again: %s", error)
            return
        if scrubbed.unreadable:
            self._alarm.tell("alarm-unreadable-backup", name=scrubbed.unreadable[0].name)
