"""What the operator does to the data while the bot is stopped: put a backup in its place, forget a person.

Holds the data folder meanwhile, so that no bot can start. Knows the order of the steps. Knows no Telegram type and no
terminal.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import StartError
from bot.common.keys import Keys, Pseudonyms, bring_keyring, change_master, keys_of_data, open_keys
from bot.common.lock import held
from bot.common.settings import DataSettings
from bot.learning.nightly import run_folder
from bot.operations.backups import Backups
from engine.runs.run_dir import strip_run
from storage.backup import backup, restore
from storage.backup.backup import Revision
from storage.db.database import Database, open_for_reading
from storage.db.errors import StorageError
from storage.db.records import AuditEntry
from storage.privacy import erasure, tombstones
from storage.privacy.erasure import Erased
from storage.privacy.tombstones import Tombstone
from storage.tables import moderation, versions

_OPERATOR = "operator"
_ASIDE = ".before-restore-"


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtBack:
    """What a restore has done."""

    safety_copy: Path | None
    """A backup of what was there before; None where it could not be read or nothing was there."""
    put_aside: Path | None
    """Where the database of before lies."""
    versions_aside: tuple[str, ...]
    """Versions that the restored database does not know, renamed so that their names are free."""
    erased: Erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What forgetting has done."""

    person: str
    erased: Erased
    rewritten: tuple[Path, ...]
    unreadable: tuple[Path, ...]
    """Damaged files that may still hold what was erased."""


async def bring_back(settings: DataSettings, file: Path) -> BroughtBack:
    """Put a backup in the database's place; what was there stays under another name.

    Raises:
        StartError: a bot runs on the data folder.
        StorageError: the backup cannot be used; the database is as it was.
    """
    database, now = settings.database_path, datetime.now(UTC)
    with held(settings.data_dir):
        bring_keyring(settings, file)
        keys = _keys(settings)
        safety_copy = _safety_copy(settings, now)
        revision = Revision(
            tombstones.read(settings.tombstones_path),
            None if keys is None else keys.named_in,
            None if keys is None else keys.keyring,
        )
        restored = restore.restore(file, database, revision, now=now)
        aside = _put_unknown_versions_aside(database, settings.data_dir / "versions", now)
        await _record(settings, AuditEntry(now, _OPERATOR, "restore", file.name))
    return BroughtBack(
        safety_copy=safety_copy, put_aside=restored.put_aside, versions_aside=aside, erased=restored.erased
    )


async def forget(settings: DataSettings, person: str) -> Forgotten:
    """Erase everything of a person, by pseudonym, from the database and every backup.

    Raises:
        StartError: a bot runs on the data folder, or its key is missing.
        StorageError: something could not be written; a later try goes on.
    """
    with held(settings.data_dir):
        keys = keys_of_data(settings)
        db = await Database.open(settings.database_path, keys.keyring)
        try:
            at = await erasure.moment(db, person, datetime.now(UTC))
            tombstone = Tombstone(person, at)
            tombstones.append(settings.tombstones_path, tombstone)
            for run in await erasure.learned(db, person, at):
                strip_run(run_folder(settings.data_dir, run))
            erased = await erasure.forget(db, person, at, names=keys.named_in)
            tombstones.append(settings.tombstones_path, replace(tombstone, is_done=True))
            await moderation.append_audit(db, AuditEntry(datetime.now(UTC), _OPERATOR, "forget", person))
            await erasure.purge(db)
        finally:
            await db.close()
        scrubbed = await backups(settings, keys).scrub()
    return Forgotten(person=person, erased=erased, rewritten=scrubbed.rewritten, unreadable=scrubbed.unreadable)


async def rotate(settings: DataSettings) -> None:
    """Change the master key.

    Raises:
        StartError: a bot runs on the data folder, or the keys cannot be opened or written.
        StorageError: there is no database.
    """
    with held(settings.data_dir):
        open_for_reading(settings.database_path).close()
        change_master(settings)
        await _record(settings, AuditEntry(datetime.now(UTC), _OPERATOR, "rotate keys"))


def pseudonym_of(settings: DataSettings, person: str) -> str | None:
    """The pseudonym of somebody named by it, or by a numeric Telegram id; None for anything else.

    Raises:
        StartError: a key is missing.
    """
    if len(person) == Pseudonyms.LENGTH and set(person) <= set("0123456789abcdef"):
        return person
    if person.isascii() and person.isdigit():
        return open_keys(settings).pseudonyms.person(int(person))
    return None


def backups(settings: DataSettings, keys: Keys) -> Backups:
    """The service for backups, as the settings say."""
    return Backups(
        database=settings.database_path,
        folder=settings.backups_path,
        keep=settings.backups_keep,
        tombstones=settings.tombstones_path,
        names=keys.named_in,
        keyring=keys.keyring,
    )


def _safety_copy(settings: DataSettings, now: datetime) -> Path | None:
    if not settings.database_path.exists():
        return None
    try:
        return backup.back_up(settings.database_path, settings.backups_path, now=now, keep=None)
    except StorageError:
        return None  # it is damaged, which is why it is replaced; the file itself is kept


def _keys(settings: DataSettings) -> Keys | None:
    """The keys, which are missed on a new machine only: then every waiting update counts as naming everybody."""
    try:
        return open_keys(settings) if settings.key_path.exists() else None
    except StartError:
        return None


def _put_unknown_versions_aside(database: Path, folder: Path, now: datetime) -> tuple[str, ...]:
    """Free the names that coming runs will use; what lies under them was made after the backup."""
    connection = open_for_reading(database)
    try:
        known = versions.names(connection)
    finally:
        connection.close()
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
