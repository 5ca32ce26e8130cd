"""What the operator does to the data while the bot is stopped: restore a backup, change the master key.

The data folder is held meanwhile, so that no bot can start. `bot.privacy.erasure` has the operator's /forget.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import StartError
from bot.common.keys import open_keys, replace_master_key, restore_keyring
from bot.common.lock import hold_data_dir
from bot.common.settings import DataSettings
from storage.backup import backup, restore
from storage.backup.backup import Revision
from storage.db.database import Database, open_for_reading
from storage.db.errors import StorageError
from storage.db.records import AuditEntry
from storage.privacy import tombstones
from storage.privacy.erasure import Erased
from storage.tables import moderation, versions

OPERATOR = "operator"
"""Who stands in the audit for what is done at the terminal."""

_ASIDE = ".before-restore-"


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
        restored = restore.restore(file, settings.database_path, _revision(settings), now=now)
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


def _revision(settings: DataSettings) -> Revision:
    """Without keys, as on a new machine, every waiting update counts as naming everybody."""
    forgotten = tombstones.read(settings.tombstones_path)
    try:
        keys = open_keys(settings) if settings.key_path.exists() else None
    except StartError:
        keys = None
    return Revision(forgotten, None, None) if keys is None else Revision(forgotten, keys.named_in, keys.keyring)


def _put_unknown_versions_aside(settings: DataSettings, now: datetime) -> tuple[str, ...]:
    """Free the names that coming runs will use; what lies under them was made after the backup."""
    connection = open_for_reading(settings.database_path)
    try:
        known = versions.all_names(connection)
    finally:
        connection.close()
    folder = settings.data_dir / "versions"
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
