"""Restoring: a checked backup takes the database's place in one step, and the present one is kept under another name.

Everything that can fail happens to a copy beside the database. The caller holds the data folder, so nobody has the
database open. A kill at any moment leaves the old database or the new one.
"""

import contextlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.backup.backup import Replay, verify, write_copy
from storage.backup.integrity import is_database
from storage.db.errors import BackupFailed, DatabaseUnusable
from storage.db.files import fsync, link_or_copy, move_into_place, remove_database
from storage.privacy.erasure import Erased

_ASIDE = ".before-restore-"
_LOGS = ("-wal", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done."""

    put_aside: Path | None
    """Where the previous database is kept."""
    erased: Erased
    """What the backup held of people who had asked to be forgotten."""


def restore(backup: Path, database: Path, replay: Replay, *, now: datetime) -> Restored:
    """Put a backup in the database's place, brought up to this Ovation's schema, without those who are forgotten.

    Raises:
        BackupUnusable: the backup cannot be restored; nothing has changed.
        BackupFailed: it could not be copied or put in place; the present database is as it was.
    """
    verify(backup)
    attempt = database.with_name(f"{database.name}.restoring")
    try:
        remove_database(attempt)
        erased = write_copy(backup, attempt, replay, is_live=False)
        fsync(attempt)
        aside = _replace(database, attempt, now)
    except (OSError, sqlite3.Error, DatabaseUnusable) as error:
        raise BackupFailed(
            f"{backup} could not be put in place ({error}): see that the disk has room; the database is as it was."
        ) from error
    finally:
        remove_database(attempt)
    return Restored(aside, erased)


def put_aside(database: Path) -> list[Path]:
    """The databases that restores have put aside, oldest first."""
    found = database.parent.glob(f"{database.name}{_ASIDE}*")
    return sorted(path for path in found if not path.name.endswith((*_LOGS, "-shm")))


def _replace(database: Path, attempt: Path, now: datetime) -> Path | None:
    """Keep the present database under another name and give its own to the finished copy."""
    for old in put_aside(database):
        if database.exists() and old.samefile(database):
            old.unlink()  # a kill came between this name and the next step
    _fold_log(database)
    aside = _free_name(database, now)
    is_kept = database.exists()
    if is_kept:
        link_or_copy(database, aside)
    both = [(_beside(database, suffix), _beside(aside, suffix)) for suffix in _LOGS]
    logs = [(log, other) for log, other in both if log.exists()]
    for log, other in logs:
        link_or_copy(log, other)
    fsync(database.parent)
    for suffix in (*_LOGS, "-shm"):
        _beside(database, suffix).unlink(missing_ok=True)  # or SQLite would play the old log into the new database
    try:
        move_into_place(attempt, database)
    except OSError:
        for log, other in logs:
            link_or_copy(other, log)
        raise
    return aside if is_kept else None


def _free_name(database: Path, now: datetime) -> Path:
    """Named after the moment, or the next second that no other has taken."""
    while True:
        aside = database.with_name(f"{database.name}{_ASIDE}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        if not any(_beside(aside, suffix).exists() for suffix in ("", *_LOGS)):
            return aside
        now += timedelta(seconds=1)


def _fold_log(database: Path) -> None:
    """Move what is in the log into the file, as the last one to close it does; beside a file that is damaged beyond
    recognition it stays as it is."""
    if database.exists() and is_database(database):
        with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(f"{database.name}{suffix}")
