"""Whether a database file is whole and fits this Ovation, and what it says of the bot; read by a connection of its own.

A backup also has a checksum in its own header, so that one wrong bit anywhere is noticed, and a renamed file keeps it:
SQLite checks the structure of its pages, not what is written in them. Two header fields that are free for programs
(https://www.sqlite.org/fileformat.html) hold it: the application id says that there is one, the user version is the
CRC-32 of all other bytes. No function here that opens a file's bytes may be used on a live database, whose locks would
be lost.
"""

import zlib
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, DatabaseError

from storage.db.database import open_for_reading, wal_bytes
from storage.db.records import Run, Version
from storage.db.schema import is_newer, pending
from storage.tables import inbox, runs, versions

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = b"Ovtn"
_USER_VERSION_AT, _APPLICATION_ID_AT, _FIELD = 60, 68, 4
_BLOCK_BYTES = 1 << 20

CLEAR_CHECKSUM = ("PRAGMA application_id = 0", "PRAGMA user_version = 0")
"""What a database that is to be written to again must run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """What a check has found."""

    damage: str | None
    """SQLite's own words for the first damage; where there is any, nothing else was looked at."""
    is_newer: bool = False
    pending: tuple[str, ...] = ()
    log_bytes: int = 0
    dead_letters: int = 0
    waiting: int = 0
    last_run: Run | None = None
    serving: tuple[Version, ...] = ()
    """Versions that answer, or that one word of an admin would let answer."""


def examine(database: Path) -> DatabaseReport:
    """Look at a database, beside a running bot or without one.

    Raises:
        DatabaseUnusable: there is no database at that place.
    """
    with closing(open_for_reading(database)) as connection:
        try:
            damage = damage_in(connection)
            if damage is not None:
                return DatabaseReport(damage=damage)
            waiting, _, dead = inbox.backlog(connection, now=datetime.now(UTC))
            return DatabaseReport(
                damage=None,
                is_newer=is_newer(connection),
                pending=tuple(pending(connection)),
                log_bytes=wal_bytes(database),
                dead_letters=dead,
                waiting=waiting,
                last_run=runs.latest(connection),
                serving=tuple(versions.servable(connection)),
            )
        except DatabaseError as error:
            return DatabaseReport(damage=str(error))


def damage_in(connection: Connection) -> str | None:
    """The first damage in a file, or rows that refer to nothing; None where all is well."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        return str(verdict).splitlines()[-1]  # the lines before it only name the database
    row = connection.execute("PRAGMA foreign_key_check").fetchone()
    return None if row is None else f"a row of {row[0]} refers to one of {row[2]} that is missing"


def is_database(file: Path) -> bool:
    """Whether a file begins as every database of SQLite does."""
    with file.open("rb") as handle:
        return handle.read(len(_MAGIC)) == _MAGIC


def write_checksum(file: Path) -> None:
    """Write the checksum of a finished file into its header."""
    checksum = _checksum(file)
    with file.open("r+b") as handle:
        handle.seek(_USER_VERSION_AT)
        handle.write(checksum)
        handle.seek(_APPLICATION_ID_AT)
        handle.write(_APPLICATION_ID)


def has_wrong_checksum(file: Path) -> bool:
    """Whether bytes have changed since the checksum was written; a database that never had one has nothing to say."""
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
