"""Backups of the database, the nightly cleanup, and what the operator does with the bot stopped: restore, new keys.

Backups are made one at a time and on a thread, so that the bot answers meanwhile. Where the bot must be stopped, its
data folder is held, so that none can start. `bot.privacy.erasure` has `ovation forget`.
"""

import asyncio
import logging
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import StartError
from bot.common.keys import Keys, open_keys, replace_master_key, restore_keyring
from bot.common.lock import hold_data_dir
from bot.common.settings import DataSettings
from bot.messaging.alerts import AdminAlerts
from storage.backup import backup, restore
from storage.backup.backup import Replay, Scrubbed
from storage.db.database import Database, open_for_reading
from storage.db.errors import StorageError
from storage.db.records import AuditEntry
from storage.privacy import erasure, tombstones
from storage.privacy.erasure import Erased
from storage.tables import moderation, versions

logger = logging.getLogger(__name__)

OPERATOR = "operator"
"""Who stands in the audit for what is done at the terminal."""

_ASIDE = ".before-restore-"


@dataclass(frozen=True, slots=True)
class Backups:
    """Makes backups of one database and forgets people in them."""

    settings: DataSettings
    keys: Keys
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def make(self) -> Path:
        """Make a backup, check it, and remove the oldest ones that are too many; the keyring goes beside them.

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
        now = datetime.now(UTC)
        made = backup.create(settings.database_path, settings.backups_path, now=now, keep=settings.backups_keep)
        self._copy_keyring()
        return made

    def _scrub(self) -> Scrubbed:
        self._copy_keyring()  # or the copy would still hold the keys of those who are forgotten
        files = [*backup.kept(self.settings.backups_path), *restore.put_aside(self.settings.database_path)]
        forgotten = tombstones.read(self.settings.tombstones_path)
        return backup.scrub(files, Replay(forgotten, self.keys.named_in, self.keys.keyring))

    def _copy_keyring(self) -> None:
        if self.settings.backups_path.is_dir():
            self.keys.keyring.copy_to(self.settings.backups_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Gets what was erased off the disk, each night and after a /forget. A failure is tried again the next night."""

    db: Database
    backups: Backups
    alerts: AdminAlerts

    async def nightly(self) -> None:
        """Clean, then back up what is left, unless BACKUPS_KEEP is 0."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore has done."""

    safety_copy: Path | None
    """A backup of what was there before; None where it could not be read or nothing was there."""
    put_aside: Path | None
    """Where the previous database is kept."""
    versions_aside: tuple[str, ...]
    """Versions that the restored database does not know, renamed so that their names are free."""
    erased: Erased


async def restore_backup(settings: DataSettings, file: Path) -> RestoreResult:
    """Put a backup in the database's place; what was there stays under another name.

    Raises:
        StartError: a bot runs on the data folder.
        StorageError: the backup cannot be used; the database is as it was.
    """
    now = datetime.now(UTC)
    with hold_data_dir(settings.data_dir):
        restore_keyring(settings, file)
        safety_copy = _safety_copy(settings, now)
        restored = restore.restore(file, settings.database_path, _replay(settings), now=now)
        aside = _put_unknown_versions_aside(settings, now)
        await _record(settings, AuditEntry(now, OPERATOR, "restore", file.name))
    return RestoreResult(
        safety_copy=safety_copy, put_aside=restored.put_aside, versions_aside=aside, erased=restored.erased
    )


async def rotate_master_key(settings: DataSettings) -> None:
    """Change the master key.

    Raises:
        StartError: a bot runs on the data folder, or the keys cannot be opened or written.
        StorageError: there is no database.
    """
    with hold_data_dir(settings.data_dir):
        open_for_reading(settings.database_path).close()
        replace_master_key(settings)
        await _record(settings, AuditEntry(datetime.now(UTC), OPERATOR, "rotate keys"))


def _safety_copy(settings: DataSettings, now: datetime) -> Path | None:
    if not settings.database_path.exists():
        return None
    try:
        return backup.create(settings.database_path, settings.backups_path, now=now, keep=None)
    except StorageError:
        return None  # it is damaged, which is why it is replaced; the file itself is kept


def _replay(settings: DataSettings) -> Replay:
    """Without keys, as on a new machine, every waiting update counts as naming everybody."""
    forgotten = tombstones.read(settings.tombstones_path)
    try:
        keys = open_keys(settings) if settings.key_path.exists() else None
    except StartError:
        keys = None
    return Replay(forgotten) if keys is None else Replay(forgotten, keys.named_in, keys.keyring)


def _put_unknown_versions_aside(settings: DataSettings, now: datetime) -> tuple[str, ...]:
    """Free the names that coming runs will use; what has them now was made after the backup."""
    with closing(open_for_reading(settings.database_path)) as connection:
        known = versions.all_names(connection)
    folder = settings.versions_path
    unknown = [
        path
        for path in sorted(folder.iterdir() if folder.is_dir() else ())
        if path.is_dir() and path.name not in known and not path.name.startswith(".") and _ASIDE not in path.name
    ]
    for path in unknown:
        path.rename(path.with_name(f"{path.name}{_ASIDE}{now:%Y%m%dt%H%M%Sz}"))
    return tuple(path.name for path in unknown)


async def _record(settings: DataSettings, entry: AuditEntry) -> None:
    db = await Database.open(settings.database_path)
    try:
        await moderation.append_audit(db, entry)
    finally:
        await db.close()
