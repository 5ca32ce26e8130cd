"""Bringing a database up to the schema (`storage.db.schema`).

Each step and the record of it are one transaction: a step that fails or is killed leaves the old schema.
"""

import sqlite3
from datetime import UTC, datetime

from storage.db.errors import DatabaseUnusable
from storage.db.schema import ENCRYPTING, MIGRATIONS

__all__ = ["ENCRYPTING", "MIGRATIONS", "migrate", "pending"]


def pending(connection: sqlite3.Connection) -> list[str]:
    """Names of the steps that this file still lacks, oldest first; writes nothing but the table of steps."""
    return [name for name, _ in MIGRATIONS if name not in _applied(connection)]


def migrate(connection: sqlite3.Connection) -> None:
    """Apply every pending step, each in a transaction with its record.

    Raises:
        DatabaseUnusable: the file has steps that this Ovation does not know.
    """
    unknown = _applied(connection) - {name for name, _ in MIGRATIONS}
    if unknown:
        raise DatabaseUnusable("The database was made by a newer Ovation; upgrade, or restore an older backup.")
    waiting = set(pending(connection))
    for name, statements in MIGRATIONS:
        if name in waiting:
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
