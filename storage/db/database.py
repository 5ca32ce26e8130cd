"""One SQLite connection on one thread; every write is whole, and writes that wait together are committed together.

A write is a plain function of a `sqlite3.Connection`. It runs on aiosqlite's thread in a savepoint of its own, and is
shielded from cancellation, so no other task can come between and nothing is ever half written. What has gathered
while one commit waited for the disk shares the next (group commit): a caller goes on only once its own is on disk.
Knows SQLite and durability. Knows no table.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from storage.db.errors import DatabaseClosed, DatabaseUnusable
from storage.db.keyring import Keyring
from storage.db.schema import ENCRYPTING, migrate, pending

T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",  # or a large sort would leave decrypted texts in a file
)


class Database:
    """The facts on disk. Open with `await Database.open(path)`, close with `await db.close()`."""

    def __init__(self, connection: aiosqlite.Connection, path: Path, keyring: Keyring | None) -> None:
        self.path = path
        self._keyring = keyring
        self._connection: aiosqlite.Connection | None = connection
        self._waiting: list[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = []
        self._committer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, keyring: Keyring | None = None) -> "Database":
        """Open or create the file, check it and bring its schema up to date. Without a keyring no text can be had.

        Raises:
            DatabaseUnusable: the file is damaged, cannot be written, or was made by a newer Ovation.
        """
        connection = aiosqlite.connect(path, isolation_level=None)
        database = cls(connection, path, keyring)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(database.close)
            try:
                await connection
                await database._on_thread(lambda c: _prepare(c, keyring))
            except sqlite3.DatabaseError as error:
                raise DatabaseUnusable(
                    f"The database {path} cannot be used ({error}); restore a backup of it."
                ) from error
            on_failure.pop_all()
        return database

    async def write(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        """Run `transaction` and return once its result is durable; it leaves nothing when it raises.

        Raises:
            DatabaseUnusable: the disk is full, read-only or failing, or another program holds the file; nothing was
                written, and a later try may succeed.
        """
        connection = self._connection
        if connection is None:
            raise DatabaseClosed("The database is closed.")
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((transaction, outcome))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting(connection), name="committer")
        try:
            return await outcome
        except sqlite3.OperationalError as error:
            raise DatabaseUnusable(f"The database cannot be written: {error}.") from error

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Run `question`, which must not write."""
        return await self._on_thread(question)

    @property
    def wal_bytes(self) -> int:
        """Size of the write-ahead log; it is looked at, never opened, which would drop SQLite's locks."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    @property
    def keyring(self) -> Keyring | None:
        """The keys of the texts. To be used within a transaction, on whose thread nobody else encrypts meanwhile."""
        return self._keyring

    async def close(self) -> None:
        """Finish the writes that wait, close the connection and end its thread; a second call does nothing."""
        connection, self._connection = self._connection, None
        if self._committer is not None:
            await asyncio.shield(self._committer)
        if connection is not None:
            await asyncio.shield(connection.close())

    async def _commit_waiting(self, connection: aiosqlite.Connection) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            transactions = [transaction for transaction, _ in batch]
            results = await connection._execute(_committed, connection._conn, transactions)
            for (_, outcome), result in zip(batch, results, strict=True):
                if outcome.done():
                    continue  # its caller was cancelled and does not wait; the write stands all the same
                if isinstance(result, _Raised):
                    outcome.set_exception(result.error)
                else:
                    outcome.set_result(result)
        self._committer = None

    async def _on_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise DatabaseClosed("The database is closed.")
        # aiosqlite has no public call for "this function, on your thread"; the version is pinned and a test guards it.
        call = connection._execute(lambda: work(connection._conn))
        return await asyncio.shield(asyncio.ensure_future(call))


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _committed(
    connection: sqlite3.Connection, transactions: Sequence[Callable[[sqlite3.Connection], object]]
) -> list[object]:
    """Each one's result, or what it raised, once all that succeeded are on disk; nothing of the others stays."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_in_savepoint(connection, transaction) for transaction in transactions]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_Raised(error)] * len(transactions)
    return outcomes


def _in_savepoint(connection: sqlite3.Connection, transaction: Callable[[sqlite3.Connection], object]) -> object:
    connection.execute("SAVEPOINT one")
    try:
        result = transaction(connection)
    except Exception as error:
        if not connection.in_transaction:  # a full or failing disk makes SQLite roll everything back
            raise
        connection.execute("ROLLBACK TO one")
        result = _Raised(error)
    connection.execute("RELEASE one")
    return result


def _prepare(connection: sqlite3.Connection, keyring: Keyring | None) -> None:
    add_encryption_functions(connection, keyring)
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    migrate(connection)


def add_encryption_functions(connection: sqlite3.Connection, keyring: Keyring | None) -> None:
    """Give SQL the functions `encrypted(owner, text)` and `decrypted(value)`, which fail without a keyring."""
    connection.create_function("encrypted", 2, _no_key if keyring is None else keyring.encrypt)
    connection.create_function("decrypted", 1, _no_key if keyring is None else keyring.decrypt)


def _no_key(*_values: str | None) -> str:
    raise KeyError("this connection was opened without the keyring")


def open_for_reading(path: Path, keyring: Keyring | None = None) -> sqlite3.Connection:
    """A second, read-only connection for a command that runs beside the bot; the caller closes it.

    Without a keyring it reads everything but texts.

    Raises:
        DatabaseUnusable: there is no database at `path`.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        add_encryption_functions(connection, keyring)
        connection.execute("SELECT name FROM migrations")
    except sqlite3.Error as error:
        if path.exists():
            raise DatabaseUnusable(
                f"{path} cannot be read as a database ({error}): if it is damaged, run ovation restore with a backup."
            ) from error
        raise DatabaseUnusable(
            f"There is no usable database at {path}; start the bot once, or set DATA_DIR."
        ) from error
    return connection


def is_encrypted(path: Path) -> bool:
    """Whether a database holds its texts encrypted, and so needs a keyring.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return ENCRYPTING not in pending(connection)
