"""Checks of a database file from outside: is it whole, does it fit this Ovation, and what does it say of the bot.

Reads through a connection of its own that can write nothing. Knows SQLite's checks and the tables.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from storage.db.database import open_for_reading
from storage.db.records import Run, Version
from storage.db.schema import MIGRATIONS, pending
from storage.tables import runs, versions


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """What a check has found."""

    fault: str | None
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
    connection = open_for_reading(database)
    try:
        fault = damage_in(connection)
        if fault is not None:
            return DatabaseReport(fault=fault)
        return _condition(connection, database)
    except sqlite3.DatabaseError as error:
        return DatabaseReport(fault=str(error))
    finally:
        connection.close()


def damage_in(connection: sqlite3.Connection) -> str | None:
    """The first damage in a file, or rows that refer to nothing; None where all is well."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        return str(verdict).splitlines()[-1]  # the lines before it only name the database
    row = connection.execute("PRAGMA foreign_key_check").fetchone()
    return None if row is None else f"a row of {row[0]} refers to one of {row[2]} that is missing"


def is_newer(connection: sqlite3.Connection) -> bool:
    """Whether a newer Ovation has changed the schema."""
    known = {name for name, _ in MIGRATIONS}
    return any(name not in known for (name,) in connection.execute("SELECT name FROM migrations"))


def _condition(connection: sqlite3.Connection, database: Path) -> DatabaseReport:
    log = database.with_name(f"{database.name}-wal")
    dead, waiting = connection.execute(
        "SELECT coalesce(sum(state = 'dead'), 0), coalesce(sum(state = 'new'), 0) FROM inbox"
    ).fetchone()
    return DatabaseReport(
        fault=None,
        is_newer=is_newer(connection),
        pending=tuple(pending(connection)),
        log_bytes=log.stat().st_size if log.exists() else 0,
        dead_letters=dead,
        waiting=waiting,
        last_run=runs.running(connection) or next(reversed(runs.ended(connection)), None),
        serving=tuple(versions.servable(connection)),
    )
