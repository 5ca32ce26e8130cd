"""Backups of the database, one at a time and on a thread, so that the bot answers meanwhile; and the nightly cleanup.

A failure is told to the admins and tried again the next night.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot.common.keys import Keys
from bot.common.settings import DataSettings
from bot.messaging.alerts import AdminAlerts
from storage.backup import backup
from storage.backup.backup import Scrubbed
from storage.backup.restore import put_aside
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.privacy import erasure, tombstones

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backups:
    """Makes backups of one database and forgets people in them."""

    settings: DataSettings
    keys: Keys
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def make(self) -> Path:
        """Make a backup, check it, and remove the oldest ones that are too many; the keyring lies beside them.

        Raises:
            BackupFailed, KeyringUnusable: it could not be made; the others are as they were.
        """
        async with self._lock:
            return await asyncio.to_thread(self._make)

    async def scrub(self) -> Scrubbed:
        """Forget in every backup, and in databases that a restore has put aside, those who asked to be forgotten.

        Raises:
            BackupFailed, TombstonesUnusable: it could not be done; a later try goes on.
        """
        async with self._lock:
            return await asyncio.to_thread(self._scrub)

    def newest(self) -> tuple[Path, datetime] | None:
        """The newest backup and when it was made."""
        kept = backup.kept(self.settings.backups_path)
        return (kept[-1], backup.made_at(kept[-1])) if kept else None

    def _make(self) -> Path:
        settings = self.settings
        made = backup.create(
            settings.database_path, settings.backups_path, now=datetime.now(UTC), keep=settings.backups_keep
        )
        self._copy_keyring()
        return made

    def _scrub(self) -> Scrubbed:
        self._copy_keyring()  # or the copy would still hold the keys of those who are forgotten
        files = [*backup.kept(self.settings.backups_path), *put_aside(self.settings.database_path)]
        forgotten = tombstones.read(self.settings.tombstones_path)
        return backup.scrub(files, forgotten, self.keys.named_in, self.keys.keyring)

    def _copy_keyring(self) -> None:
        if self.settings.backups_path.is_dir():
            self.keys.keyring.copy_to(self.settings.backups_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Gets what was erased off the disk, each night and after a /forget. BACKUPS_KEEP=0 makes no backups at night."""

    db: Database
    backups: Backups
    alerts: AdminAlerts

    async def nightly(self) -> None:
        """Clean, then back up what is left."""
        await self.clean()
        if not self.backups.settings.backups_keep:
            return
        try:
            made = await self.backups.make()
        except (StorageError, OSError) as error:
            logger.error("no backup tonight: %s", error)
            self.alerts.tell("alarm-backup")
        else:
            logger.info("backup %s is made and verified", made.name)

    async def clean(self) -> None:
        """Get what was erased out of the free pages, the log and the backups."""
        try:
            if not await erasure.vacuum(self.db):
                logger.info("somebody is reading; the log is emptied tonight")
            scrubbed = await self.backups.scrub()
        except (StorageError, OSError) as error:
            logger.error("what was erased is not yet off the disk; trying again tonight: %s", error)
            return
        if scrubbed.unreadable:
            self.alerts.tell("alarm-unreadable-backup", name=scrubbed.unreadable[0].name)
