"""One SQLite connection on one thread; every write is whole, and writes that wait together are committed together.

A statement is a plain function of a `sqlite3.Connection`, marked `@read` or `@write`: called with a `Database` it runs
there and is awaited, called with a connection it is a part of that connection's transaction. On the database it runs on
aiosqlite's thread, shielded from cancellation, a write in a savepoint of its own, so no other task can come between and
nothing is ever half written. What has gathered while one commit waited for the disk shares the next (group commit): a
caller goes on only once its own is on disk.

Rows are read as records: columns are matched with fields by name, and read as the field's type says. A field that is a
record itself is read from the same row; a tuple lies in its column as JSON.
"""

import asyncio
import dataclasses
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial, update_wrapper
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints, overload

import aiosqlite

from storage.db.errors import DatabaseClosed, DatabaseUnusable
from storage.db.keyring import Keyring
from storage.db.schema import ENCRYPTING, migrate, pending

P = ParamSpec("P")
T = TypeVar("T")

Transaction = Callable[[sqlite3.Connection], T]
_Jobs = deque[tuple[Transaction[Any], Future[Any]]]

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",  # or a large sort would leave decrypted texts in a file
)

sqlite3.register_adapter(datetime, lambda at: at.astimezone(UTC).isoformat())  # so that text sorts as time does


class Database:
    """The live database. Open with `await Database.open(path)`, close with `await db.close()`."""

    def __init__(self, path: Path, keyring: Keyring | None) -> None:
        self.path = path
        self.keyring = keyring
        """The keys of the texts. Only to be used within a transaction, on whose thread nobody else encrypts."""
        self._jobs: _Jobs = deque()
        self._connection: aiosqlite.Connection | None = aiosqlite.connect(
            path, isolation_level=None, factory=partial(_Connection, self._jobs)
        )
        self._waiting: list[tuple[Transaction[Any], asyncio.Future[Any]]] = []
        self._committer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, keyring: Keyring | None = None) -> "Database":
        """Open or create the file, check it and bring its schema up to date. Without a keyring texts cannot be read.

        Raises:
            DatabaseUnusable: the file is damaged, cannot be written, or was made by a newer Ovation.
        """
        database = cls(path, keyring)
        try:
            await database._open_connection()
            await database.read(lambda connection: _prepare(connection, keyring))
        except BaseException as error:
            await database.close()
            if not isinstance(error, sqlite3.DatabaseError):
                raise
            raise DatabaseUnusable(f"The database {path} cannot be used ({error}); restore a backup of it.") from error
        return database

    async def write(self, transaction: Transaction[T]) -> T:
        """Run `transaction` and return once its result is durable; it leaves nothing when it raises.

        Raises:
            DatabaseUnusable: the disk is full, read-only or failing, or another program holds the file; nothing was
                written, and a later try may succeed.
        """
        connection = self._open_connection()
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((transaction, outcome))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting(connection), name="committer")
        try:
            return await outcome
        except sqlite3.OperationalError as error:
            raise DatabaseUnusable(f"The database cannot be written: {error}.") from error

    async def read(self, question: Transaction[T]) -> T:
        """Run `question`, which must not write."""
        return await self._run(self._open_connection(), question)

    async def close(self) -> None:
        """Finish the writes that wait, close the connection and end its thread; a second call does nothing."""
        connection, self._connection = self._connection, None
        if self._committer is not None:
            await asyncio.shield(self._committer)
        if connection is not None:
            await asyncio.shield(connection.close())

    def _open_connection(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise DatabaseClosed("The database is closed.")
        return self._connection

    async def _commit_waiting(self, connection: aiosqlite.Connection) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            transactions = [transaction for transaction, _ in batch]
            results = await self._run(connection, partial(_commit_together, transactions=transactions))
            for (_, outcome), result in zip(batch, results, strict=True):
                if outcome.done():
                    continue  # its caller was cancelled and does not wait; the write stands all the same
                if isinstance(result, _Raised):
                    outcome.set_exception(result.error)
                else:
                    outcome.set_result(result)
        self._committer = None

    async def _run(self, connection: aiosqlite.Connection, work: Transaction[T]) -> T:
        """Call a function on the connection's thread; it runs to its end even if the caller is cancelled."""
        outcome: Future[T] = Future()
        self._jobs.append((work, outcome))
        await asyncio.shield(asyncio.ensure_future(connection.commit()))
        return outcome.result()


class _Connection(sqlite3.Connection):
    """Calls our functions on aiosqlite's thread.

    aiosqlite sends single statements there, but no function of ours. It does send `commit`, which nobody needs here
    (`isolation_level=None`), so ours calls the functions that wait.
    """

    def __init__(self, jobs: _Jobs, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as sqlite3 passes them
        super().__init__(*args, **kwargs)
        self._jobs = jobs

    def commit(self) -> None:
        """Call what waits."""
        while self._jobs:
            work, outcome = self._jobs.popleft()
            try:
                outcome.set_result(work(self))
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                outcome.set_exception(error)


class _Statement(Generic[P, T]):
    """A function of a connection, or of a `Database`, where it is awaited."""

    def __init__(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        run: Callable[[Database, Transaction[T]], Coroutine[Any, Any, T]],
    ) -> None:
        self._function = function
        self._run = run
        update_wrapper(self, function)

    @overload
    def __call__(self, db: Database, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, db: sqlite3.Connection, /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def __call__(
        self, db: Database | sqlite3.Connection, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T] | T:
        """Run on the database, in a transaction of its own, or as a part of what the connection is doing."""
        if isinstance(db, Database):
            return self._run(db, lambda connection: self._function(connection, *args, **kwargs))
        return self._function(db, *args, **kwargs)


def read(function: Callable[Concatenate[sqlite3.Connection, P], T]) -> _Statement[P, T]:
    """A statement that only reads."""
    return _Statement(function, Database.read)


def write(function: Callable[Concatenate[sqlite3.Connection, P], T]) -> _Statement[P, T]:
    """A statement that writes: on a `Database` it is a transaction of its own."""
    return _Statement(function, Database.write)


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _commit_together(connection: sqlite3.Connection, transactions: Sequence[Transaction[object]]) -> list[object]:
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


def _in_savepoint(connection: sqlite3.Connection, transaction: Transaction[object]) -> object:
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
    set_up(connection, keyring)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    migrate(connection)


def set_up(connection: sqlite3.Connection, keyring: Keyring | None = None) -> None:
    """Rows by name, and SQL's functions `encrypted(owner, text)` and `decrypted(value)`, which need a keyring."""
    connection.row_factory = sqlite3.Row
    connection.create_function("encrypted", 2, _no_key if keyring is None else keyring.encrypt)
    connection.create_function("decrypted", 1, _no_key if keyring is None else keyring.decrypt)


def _no_key(*_values: str | None) -> str:
    raise KeyError("this connection was opened without the keyring")


def open_for_reading(path: Path, keyring: Keyring | None = None, *, as_of_now: bool = False) -> sqlite3.Connection:
    """A second, read-only connection for a command that runs beside the bot; the caller closes it.

    Without a keyring it reads everything but texts. With `as_of_now` a file that an earlier release left behind is
    read from a copy in memory with the schema of now; the next start changes the file itself.

    Raises:
        DatabaseUnusable: there is no database at `path`, or it cannot be brought up to date.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        set_up(connection, keyring)
        connection.execute("SELECT name FROM migrations")
        if as_of_now and pending(connection):
            connection = _brought_up_to_date(connection, keyring)
    except sqlite3.Error as error:
        if path.exists():
            raise DatabaseUnusable(
                f"{path} cannot be read as a database ({error}): if it is damaged, run ovation restore with a backup."
            ) from error
        raise DatabaseUnusable(
            f"There is no usable database at {path}; start the bot once, or set DATA_DIR."
        ) from error
    return connection


def _brought_up_to_date(connection: sqlite3.Connection, keyring: Keyring | None) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(connection):
        connection.backup(copy)
    set_up(copy, keyring)
    migrate(copy)
    return copy


def is_encrypted(path: Path) -> bool:
    """Whether a database holds its texts encrypted, and so needs a keyring.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return ENCRYPTING not in pending(connection)


def wal_bytes(database: Path) -> int:
    """Size of a database's write-ahead log; it is looked at, never opened, which would drop SQLite's locks."""
    log = database.with_name(f"{database.name}-wal")
    return log.stat().st_size if log.exists() else 0


def records(kind: type[T], rows: Iterable[sqlite3.Row]) -> list[T]:
    """All rows, each as a `kind`."""
    return [_record(kind, row) for row in rows]


def first(kind: type[T], cursor: sqlite3.Cursor) -> T | None:
    """The first row; None where there is none."""
    row = cursor.fetchone()
    return None if row is None else _record(kind, row)


def value(kind: type[T], cursor: sqlite3.Cursor) -> T | None:
    """The first column of the first row; None where there is none, or it is null."""
    row = cursor.fetchone()
    return None if row is None or row[0] is None else _reader(kind)(row[0])


def count(cursor: sqlite3.Cursor) -> int:
    """The number in a row that there always is."""
    return int(cursor.fetchone()[0])


def columns(record: object) -> dict[str, Any]:
    """A record's fields by name, for a statement that names its parameters."""
    return {name: getattr(record, name) for name, _ in _fields(type(record))}  # type: ignore[arg-type]


def _record(kind: type[T], row: sqlite3.Row) -> T:
    return kind(**{name: read(row) for name, read in _fields(kind)})  # type: ignore[arg-type]  # it can be hashed


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Callable[[sqlite3.Row], Any]], ...]:
    return tuple((name, _field(name, hint)) for name, hint in get_type_hints(kind).items())


def _field(name: str, hint: Any) -> Callable[[sqlite3.Row], Any]:  # noqa: ANN401 - a type, or what stands for several
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return partial(_record, hint)
    read = _reader(hint)
    return lambda row: read(row[name])


def _reader(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    if hint is datetime:
        return datetime.fromisoformat
    if datetime in get_args(hint):
        return lambda text: None if text is None else datetime.fromisoformat(text)
    if hint is bool:
        return bool
    if get_origin(hint) is dict:
        return json.loads
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        is_record = dataclasses.is_dataclass(kind)
        return lambda text: tuple(kind(**each) if is_record else each for each in json.loads(text or "[]"))
    return lambda column: column
