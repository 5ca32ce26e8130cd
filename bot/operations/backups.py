"""Backups as a service: one at a time, on a thread, so that the bot answers meanwhile.

Knows where backups lie and how many are kept. Knows nothing of what is in them and no Telegram type.

Cleaning: what was erased is got off the disk, and what is there is backed up; each night, and after a /forget.

A failure is told to the admins and tried again the next night. Knows the order, not how either is done.
"""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from bot.messaging.alerts import Alarm
from storage.backup import backup
from storage.backup.backup import Scrubbed
from storage.backup.restore import put_aside
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.keyring import Keyring
from storage.privacy import erasure, tombstones
from storage.privacy.erasure import Names


class Backups:
    """Makes backups of one database and forgets people in them."""

    def __init__(
        self,
        *,
        database: Path,
        folder: Path,
        keep: int,
        tombstones: Path,
        names: Names | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self._database = database
        self._folder = folder
        self._keep = keep
        self._tombstones = tombstones
        self._names = names
        self._keyring = keyring
        self._lock = asyncio.Lock()

    async def make(self) -> Path:
        """Make a backup, check it, and remove the oldest ones that are too many; the keyring lies beside them.

        Raises:
            BackupFailed, KeyringUnusable: it could not be made; the others are as they were.
        """
        async with self._lock:
            made = await asyncio.to_thread(
                backup.back_up, self._database, self._folder, now=datetime.now(UTC), keep=self._keep
            )
            await asyncio.to_thread(self._copy_keyring)
            return made

    async def scrub(self) -> Scrubbed:
        """Forget in every backup, and in databases that a restore has put aside, those who asked to be forgotten.

        Raises:
            BackupFailed, TombstonesUnusable: it could not be done; a later try goes on.
        """
        async with self._lock:
            return await asyncio.to_thread(self._scrub)

    def newest(self) -> tuple[Path, datetime] | None:
        """The newest backup and when it was made."""
        kept = backup.kept(self._folder)
        return (kept[-1], backup.made_at(kept[-1])) if kept else None

    def _copy_keyring(self) -> None:
        if self._keyring is not None and self._folder.is_dir():
            self._keyring.copy_to(self._folder)

    def _scrub(self) -> Scrubbed:
        self._copy_keyring()  # or the copy would still hold the keys of those who are forgotten
        files = [*backup.kept(self._folder), *put_aside(self._database)]
        return backup.scrub(files, tombstones.read(self._tombstones), self._names, self._keyring)


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
