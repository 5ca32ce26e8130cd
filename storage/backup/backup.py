"""Backups: whole, checked copies of the database in a folder of their own, and the forgetting of people in them.

A copy is made through a second connection that only reads, while the bot writes; the live file itself is never
opened, which would drop SQLite's locks. A backup has its name only once it is on disk, checked and has its checksum, so
a kill at any moment leaves the others, and at most an attempt that the next call removes. One program at a time works
in the folder. The keys and the versions are no part of a backup, so a key that is erased makes its texts in every
backup unreadable.
"""

import fcntl
import os
import re
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.backup.integrity import CLEAR_CHECKSUM, damage_in, has_wrong_checksum, write_checksum
from storage.db.database import set_up
from storage.db.errors import BackupFailed, BackupUnusable, DatabaseUnusable
from storage.db.files import create_private, fsync, move_into_place, remove_database
from storage.db.keyring import Keyring
from storage.db.schema import is_newer, migrate, pending
from storage.privacy import erasure
from storage.privacy.erasure import Erased, NamedIn
from storage.privacy.tombstones import Tombstone

_NAME = re.compile(r"ovation-\d{8}T\d{6}Z\.db")
_FORMAT = "ovation-%Y%m%dT%H%M%SZ.db"
_ATTEMPT = ".ovation-backup-"
_RUSH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Replay:
    """Who is forgotten in a copy of a database, once more."""

    tombstones: Sequence[Tombstone]
    named_in: NamedIn | None = None
    """None, where the keys are missing: every update that waits then counts as naming everybody."""
    keyring: Keyring | None = None
    """For a copy of an older Ovation, whose texts are not encrypted yet."""


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
    """Check that a file can be restored: its checksum, its structure, its references, and that it is not too new.

    Raises:
        BackupUnusable: it cannot, and why.
    """
    try:
        if has_wrong_checksum(backup):
            raise BackupUnusable(f"{backup} has changed since it was made, by damage or by hand: use another backup.")
        with closing(_reading(backup)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone() is None:
                raise BackupUnusable(f"{backup} is no backup of Ovation: name a file from the folder backups.")
            damage = damage_in(connection)
            if is_newer(connection):
                raise BackupUnusable(f"{backup} was made by a newer Ovation: upgrade, or use an older backup.")
    except OSError as error:
        raise BackupUnusable(f"{backup} cannot be read ({error.strerror}): name a backup that is there.") from error
    except sqlite3.Error as error:
        raise BackupUnusable(f"{backup} is no backup of Ovation, or damaged ({error}): use another one.") from error
    if damage is not None:
        raise BackupUnusable(f"{backup} is damaged ({damage}): use another backup.")


def scrub(files: Iterable[Path], replay: Replay) -> Scrubbed:
    """Forget people in files that can be restored, each replaced as a whole once its successor is checked.

    Files of an older Ovation are brought up to this one's schema, which encrypts what they hold.

    Raises:
        BackupFailed: one could not be replaced; it is as it was.
    """
    rewritten, unreadable = [], []
    for file in files:
        if not replay.tombstones and not _is_old(file):
            continue
        with _at_work(file.parent):
            try:
                verify(file)
            except BackupUnusable:
                unreadable.append(file)
                continue
            if _is_old(file) or _would_erase(file, replay):
                _make(file, file, replay, is_live=False)
                rewritten.append(file)
    return Scrubbed(tuple(rewritten), tuple(unreadable))


def write_copy(source: Path, target: Path, replay: Replay | None = None, *, is_live: bool) -> Erased:
    """Write a checked copy of a database, of this moment, to a name that is free; of a live one also while others write
    to it. With `replay` it is brought up to this Ovation's schema, and nothing of who is forgotten stays in the file.

    Raises:
        sqlite3.Error, OSError, DatabaseUnusable: it is damaged, or there is no room.
    """
    _copy(source, target, is_live=is_live)
    erased = Erased() if replay is None else _bring_up_to_date(target, replay)
    _check(target)
    return erased


def _copy(source: Path, target: Path, *, is_live: bool) -> None:
    create_private(target)
    with closing(_reading(source, is_live=is_live)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _bring_up_to_date(copied: Path, replay: Replay) -> Erased:
    with closing(sqlite3.connect(copied, isolation_level=None)) as connection:
        set_up(connection, replay.keyring)
        is_old = bool(pending(connection))
        for pragma in ("PRAGMA journal_mode = MEMORY", "PRAGMA foreign_keys = ON", *CLEAR_CHECKSUM):
            connection.execute(pragma).fetchall()
        migrate(connection)
        connection.execute("BEGIN")
        erased = erasure.replay(connection, replay.tombstones, replay.named_in)
        connection.execute("COMMIT")
        if replay.tombstones or is_old:
            erasure.vacuum(connection)
    return erased


def _check(copied: Path) -> None:
    with closing(_reading(copied)) as connection:
        damage = damage_in(connection)
    if damage is not None:
        raise DatabaseUnusable(f"the copy is damaged ({damage})")


def _make(source: Path, target: Path, replay: Replay | None = None, *, is_live: bool) -> None:
    """Give a checked copy its checksum and its name."""
    attempt = target.with_name(f"{_ATTEMPT}{uuid.uuid4().hex}")
    try:
        write_copy(source, attempt, replay, is_live=is_live)
        write_checksum(attempt)
        move_into_place(attempt, target)
    finally:
        remove_database(attempt)


def _is_old(file: Path) -> bool:
    try:
        with closing(_reading(file)) as connection:
            return bool(pending(connection))
    except sqlite3.Error:
        return False


def _would_erase(file: Path, replay: Replay) -> bool:
    with closing(_reading(file)) as connection:
        return erasure.would_erase(connection, replay.tombstones, replay.named_in)


def _reading(file: Path, *, is_live: bool = False) -> sqlite3.Connection:
    """A connection that only reads; one to a file at rest leaves nothing beside it."""
    logs = (file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-journal"))
    is_alone = not is_live and not any(log.exists() and log.stat().st_size for log in logs)
    how = "mode=ro&immutable=1" if is_alone else "mode=ro"
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    set_up(connection)
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
