"""A checksum inside a backup's own header, so that one wrong bit anywhere is noticed and a renamed file keeps it.

SQLite checks the structure of its pages, not what is written in them. Two header fields that are free for programs
hold the seal: the application id says that there is one, the user version is the CRC-32 of all other bytes. Knows
SQLite's file header (https://www.sqlite.org/fileformat.html). Knows no table, and touches no file that is in use.

Backups: whole, checked copies of the database in a folder of their own, and the forgetting of people in them.

A copy is made through a second connection that only reads, while the bot writes; the live file itself is never
opened, which would drop SQLite's locks. A backup has its name only once it is on disk, checked and sealed, so a kill
at any moment leaves the others, and at most an attempt that the next call removes. One program at a time works in the
folder. The keys and the versions are no part of a backup, so a key that is erased makes its
texts in every backup unreadable. Knows files; what is in them only through other modules.
"""

import fcntl
import os
import re
import sqlite3
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.backup import checkup
from storage.db.database import add_encryption_functions
from storage.db.errors import BackupFailed, BackupUnusable, DatabaseUnusable
from storage.db.files import create_private, fsync, move_into_place, remove_database
from storage.db.keyring import Keyring
from storage.db.schema import migrate, pending
from storage.privacy import erasure
from storage.privacy.erasure import NamedIn
from storage.privacy.tombstones import Tombstone

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = b"Ovtn"
_USER_VERSION_AT, _APPLICATION_ID_AT, _FIELD = 60, 68, 4
_BLOCK_BYTES = 1 << 20

UNSEAL = ("PRAGMA application_id = 0", "PRAGMA user_version = 0")
"""What a database that is to be written to again must run."""


def seal(file: Path) -> None:
    """Write the checksum of a finished file into its header."""
    checksum = _checksum(file)
    with file.open("r+b") as handle:
        handle.seek(_USER_VERSION_AT)
        handle.write(checksum)
        handle.seek(_APPLICATION_ID_AT)
        handle.write(_APPLICATION_ID)


def is_database(file: Path) -> bool:
    """Whether a file begins as every database of SQLite does."""
    with file.open("rb") as handle:
        return handle.read(len(_MAGIC)) == _MAGIC


def is_broken(file: Path) -> bool:
    """Whether a seal says that bytes have changed since; a database that was never sealed has nothing to say."""
    if not is_database(file):
        return False
    with file.open("rb") as handle:
        header = handle.read(_APPLICATION_ID_AT + _FIELD)
    mark = header[_APPLICATION_ID_AT:]
    if mark == _APPLICATION_ID:
        return header[_USER_VERSION_AT : _USER_VERSION_AT + _FIELD] != _checksum(file)
    return mark != bytes(_FIELD)


def _checksum(file: Path) -> bytes:
    checksum = 0
    with file.open("rb") as handle:
        block = handle.read(_BLOCK_BYTES)
        for place in (_USER_VERSION_AT, _APPLICATION_ID_AT):
            block = block[:place] + bytes(_FIELD) + block[place + _FIELD :]
        while block:
            checksum = zlib.crc32(block, checksum)
            block = handle.read(_BLOCK_BYTES)
    return checksum.to_bytes(_FIELD)


_NAME = re.compile(r"ovation-\d{8}T\d{6}Z\.db")
_FORMAT = "ovation-%Y%m%dT%H%M%SZ.db"
_ATTEMPT = ".ovation-backup-"
_RUSH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What forgetting has done to files."""

    rewritten: tuple[Path, ...] = ()
    unreadable: tuple[Path, ...] = ()
    """Damaged ones, which may still hold what is to be forgotten, but cannot be restored either."""


def create(database: Path, folder: Path, *, now: datetime, keep: int | None) -> Path:
    """Make a backup named after the moment, and keep only the newest `keep`; None removes none.

    The one that was just made always stays.

    Raises:
        BackupFailed: it could not be made; the others are as they were.
    """
    with _at_work(folder):
        target = _free_name(folder, now)
        _make(database, target, is_live=True)
        for old in kept(folder)[: -keep or None] if keep is not None else []:
            if old != target:
                old.unlink()
        fsync(folder)
    return target


def create_at(database: Path, target: Path) -> None:
    """Make a backup under a name of one's own, which must be free.

    Raises:
        BackupFailed: it could not be made, or the name is taken.
    """
    if target.exists():
        raise BackupFailed(f"{target} exists already: choose another name for the backup.")
    with _at_work(target.parent):
        _make(database, target, is_live=True)


def kept(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in names if _NAME.fullmatch(path.name))


def made_at(backup: Path) -> datetime:
    """The moment that a backup in the folder is named after."""
    return datetime.strptime(backup.name, _FORMAT).replace(tzinfo=UTC)


def verify(backup: Path) -> None:
    """Check that a file can be restored: its seal, its structure, its references, and that it is not too new.

    Raises:
        BackupUnusable: it cannot, and why.
    """
    try:
        if is_broken(backup):
            raise BackupUnusable(f"{backup} has changed since it was made, by damage or by hand: use another backup.")
        with closing(_reading(backup)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone() is None:
                raise BackupUnusable(f"{backup} is no backup of Ovation: name a file from the folder backups.")
            fault = checkup.damage_in(connection)
            if checkup.is_newer(connection):
                raise BackupUnusable(f"{backup} was made by a newer Ovation: upgrade, or use an older backup.")
    except OSError as error:
        raise BackupUnusable(f"{backup} cannot be read ({error.strerror}): name a backup that is there.") from error
    except sqlite3.Error as error:
        raise BackupUnusable(f"{backup} is no backup of Ovation, or damaged ({error}): use another one.") from error
    if fault is not None:
        raise BackupUnusable(f"{backup} is damaged ({fault}): use another backup.")


def scrub(
    files: Iterable[Path], tombstones: Sequence[Tombstone], names: NamedIn | None, keyring: Keyring | None = None
) -> Scrubbed:
    """Forget people in files that can be restored, each replaced as a whole once its successor is checked.

    Files of an older Ovation are brought up to this one's schema, which encrypts what they hold.

    Raises:
        BackupFailed: one could not be replaced; it is as it was.
    """
    rewritten, unreadable = [], []
    for file in files:
        if not tombstones and not _is_old(file):
            continue
        with _at_work(file.parent):
            try:
                verify(file)
            except BackupUnusable:
                unreadable.append(file)
                continue
            if _is_touched(file, tombstones, names):
                _make(file, file, Revision(tombstones, names, keyring), is_live=False)
                rewritten.append(file)
    return Scrubbed(tuple(rewritten), tuple(unreadable))


def copy(source: Path, target: Path, *, is_live: bool) -> None:
    """Write a consistent copy of a database, of this moment, to a name that is free; of a live one also while others
    write to it.

    Raises:
        sqlite3.Error, OSError: it could not be written.
    """
    create_private(target)
    with closing(_reading(source, is_live=is_live)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


@dataclass(frozen=True, slots=True)
class Revision:
    """What a copy of a database is brought up to."""

    tombstones: Sequence[Tombstone]
    names: NamedIn | None
    keyring: Keyring | None = None


def revise(copied: Path, revision: Revision) -> erasure.Erased:
    """Bring a copy up to this Ovation's schema and forget people in it; no trace of them stays in the file.

    Raises:
        sqlite3.Error, DatabaseUnusable: it is damaged, or there is no room.
    """
    with closing(sqlite3.connect(copied, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        add_encryption_functions(connection, revision.keyring)
        is_old = bool(pending(connection))
        for pragma in ("PRAGMA journal_mode = MEMORY", "PRAGMA foreign_keys = ON", *UNSEAL):
            connection.execute(pragma).fetchall()
        migrate(connection)
        connection.execute("BEGIN")
        erased = erasure.replay(connection, revision.tombstones, revision.names)
        connection.execute("COMMIT")
        if revision.tombstones or is_old:
            erasure.rewrite(connection)
    return erased


def check(copied: Path) -> None:
    """Look at a finished copy through a connection of its own.

    Raises:
        DatabaseUnusable: it is damaged.
    """
    with closing(_reading(copied)) as connection:
        fault = checkup.damage_in(connection)
    if fault is not None:
        raise DatabaseUnusable(f"the copy is damaged ({fault})")


def _make(source: Path, target: Path, revision: Revision | None = None, *, is_live: bool) -> None:
    """Copy a database, revise the copy, check, seal and name it."""
    attempt = target.with_name(f"{_ATTEMPT}{uuid.uuid4().hex}")
    try:
        copy(source, attempt, is_live=is_live)
        if revision is not None:
            revise(attempt, revision)
        check(attempt)
        seal(attempt)
        move_into_place(attempt, target)
    finally:
        remove_database(attempt)


def _is_old(file: Path) -> bool:
    try:
        with closing(_reading(file)) as connection:
            return bool(pending(connection))
    except sqlite3.Error:
        return False


def _is_touched(file: Path, tombstones: Sequence[Tombstone], names: NamedIn | None) -> bool:
    with closing(_reading(file)) as connection:
        return bool(pending(connection)) or erasure.would_erase(connection, tombstones, names)


def _reading(file: Path, *, is_live: bool = False) -> sqlite3.Connection:
    """A connection that only reads; one to a file at rest leaves nothing beside it."""
    logs = (file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-journal"))
    is_alone = not is_live and not any(log.exists() and log.stat().st_size for log in logs)
    how = "mode=ro&immutable=1" if is_alone else "mode=ro"
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _free_name(folder: Path, now: datetime) -> Path:
    """Named after the moment, or a little later where backups come faster than one a second."""
    moment = now.astimezone(UTC).replace(microsecond=0)
    taken = [made_at(path) for path in kept(folder)]
    while rushed := [at for at in taken if moment <= at < moment + _RUSH]:
        moment = max(rushed) + timedelta(seconds=1)
    return folder / moment.strftime(_FORMAT)


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Be the only one who writes backups in a folder, and remove what killed attempts have left in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the process, however it dies
            for leftover in folder.glob(f"{_ATTEMPT}*"):
                leftover.unlink()
            yield
        finally:
            os.close(descriptor)
    except (OSError, sqlite3.Error, DatabaseUnusable) as error:
        raise BackupFailed(
            f"No backup could be written in {folder} ({error}): see that the disk has room, and ask `ovation doctor`."
        ) from error
