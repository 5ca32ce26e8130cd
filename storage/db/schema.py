"""Brings a database up to the schema: `schema.sql`, a list of migrations that only ever grows.

Each migration and the record of it are one transaction: one that fails or is killed leaves the old schema.
"""

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from storage.db.errors import DatabaseUnusable

ENCRYPTING = "0006 keys"
"""The migration from which on a database needs its keyring."""


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, which end at ends of lines."""
    statement = ""
    for line in script.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):  # not within a trigger
            yield statement
            statement = ""


_, *_PARTS = re.split(
    r"^-- migration: (.*)$", Path(__file__).with_name("schema.sql").read_text("utf-8"), flags=re.MULTILINE
)
MIGRATIONS = tuple((name, tuple(_statements(script))) for name, script in zip(_PARTS[::2], _PARTS[1::2], strict=True))
"""Name and statements, oldest first."""


def pending(connection: sqlite3.Connection) -> list[str]:
    """Names of the migrations that this file still lacks, oldest first; writes nothing but the table of migrations."""
    applied = _applied(connection)
    return [name for name, _ in MIGRATIONS if name not in applied]


def is_newer(connection: sqlite3.Connection) -> bool:
    """Whether a newer Ovation has changed the schema."""
    return bool(_applied(connection) - {name for name, _ in MIGRATIONS})


def migrate(connection: sqlite3.Connection) -> None:
    """Apply every pending migration, each in a transaction with its record.

    Raises:
        DatabaseUnusable: the file has migrations that this Ovation does not know.
    """
    applied = _applied(connection)
    if is_newer(connection):
        raise DatabaseUnusable("The database was made by a newer Ovation; upgrade, or restore an older backup.")
    for name, statements in MIGRATIONS:
        if name not in applied:
            _apply(connection, name, statements)


def _apply(connection: sqlite3.Connection, name: str, statements: tuple[str, ...]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?)", (name, datetime.now(UTC).isoformat()))
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:  # after some errors SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _applied(connection: sqlite3.Connection) -> set[str]:
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL) STRICT")
    return {row[0] for row in connection.execute("SELECT name FROM migrations")}
