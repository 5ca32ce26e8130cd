"""One SQLite connection on one thread; every write is one whole transaction.

A transaction is a plain function of a `sqlite3.Connection`. It runs on aiosqlite's thread from BEGIN to COMMIT in a
single call and is shielded from cancellation, so no other task can come between and nothing is ever half written.
Knows SQLite and durability. Knows no table.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiosqlite

from storage.errors import DatabaseClosed, DatabaseUnusable
from storage.migrations import migrate

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)


class Database:
    """The facts on disk. Open with `await Database.open(path)`, close with `await db.close()`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection: aiosqlite.Connection | None = connection

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open or create the file, check it and bring its schema up to date.

        Raises:
            DatabaseUnusable: the file is damaged, cannot be written, or was made by a newer Ovation.
        """
        connection = aiosqlite.connect(path, isolation_level=None)
        database = cls(connection)
        try:
            await connection
            await database._on_thread(_prepare)
        except sqlite3.DatabaseError as error:
            await database.close()
            raise DatabaseUnusable(f"The database {path} cannot be used ({error}); restore a backup of it.") from error
        except BaseException:
            await database.close()
            raise
        return database

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        """Run `transaction` between BEGIN IMMEDIATE and COMMIT; roll back when it raises.

        Raises:
            DatabaseUnusable: the disk is full, read-only or failing; nothing was written.
        """

        def whole(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        try:
            return await self._on_thread(whole)
        except sqlite3.OperationalError as error:
            raise DatabaseUnusable(f"The database cannot be written: {error}.") from error

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Run `question`, which must not write."""
        return await self._on_thread(question)

    async def close(self) -> None:
        """Close the connection and end its thread; a second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.shield(connection.close())

    async def _on_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise DatabaseClosed("The database is closed.")
        # aiosqlite has no public call for "this function, on your thread"; the version is pinned and a test guards it.
        call = connection._execute(lambda: work(connection._conn))
        return await asyncio.shield(asyncio.ensure_future(call))


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    migrate(connection)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A second, read-only connection for a command that runs beside the bot; the caller closes it.

    Raises:
        DatabaseUnusable: there is no database at `path`.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        connection.execute("SELECT name FROM migrations")
    except sqlite3.Error as error:
        raise DatabaseUnusable(
            f"There is no usable database at {path}; start the bot once, or set DATA_DIR."
        ) from error
    return connection
