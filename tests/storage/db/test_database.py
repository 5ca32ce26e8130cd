"""Transactions are whole, cancellation leaves nothing behind, and the schema only grows."""

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from storage.db import schema
from storage.db.database import Database, open_for_reading, read, set_up
from storage.db.errors import DatabaseClosed, DatabaseUnusable
from tests.support.stored.keys import keyring_in


async def test_a_failing_transaction_leaves_nothing(db: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO people VALUES ('ada', 'now')")
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        await db.write(half)
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM people").fetchone()[0]) == 0


async def test_cancelled_writers_are_whole_or_absent_and_block_nobody(db: Database) -> None:
    def pair(number: int) -> None:
        def both(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO people VALUES (?, 'a')", (f"{number}a",))
            connection.execute("INSERT INTO people VALUES (?, 'b')", (f"{number}b",))

        return both  # type: ignore[return-value]

    rng = random.Random(7)
    tasks = [asyncio.create_task(db.write(pair(number))) for number in range(300)]  # type: ignore[arg-type]
    for task in rng.sample(tasks, 100):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    rows = await db.read(lambda c: [row[0] for row in c.execute("SELECT person FROM people")])
    assert {row[:-1] for row in rows if row.endswith("a")} == {row[:-1] for row in rows if row.endswith("b")}
    assert await db.read(lambda c: c.in_transaction) is False
    assert len(rows) >= 400


async def test_writes_that_wait_share_a_commit_and_one_that_fails_takes_none_along(db: Database) -> None:
    commits: list[str] = []
    await db.read(lambda c: c.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None))

    def insert(name: str, *, fails: bool = False) -> Callable[[sqlite3.Connection], None]:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO people VALUES (?, 'now')", (name,))
            if fails:
                raise ValueError(name)

        return write

    writes = [db.write(insert(f"p{number}", fails=number == 7)) for number in range(50)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    await db.read(lambda c: c.set_trace_callback(None))
    assert [type(each) for each in outcomes].count(ValueError) == 1 and isinstance(outcomes[7], ValueError)
    rows = await db.read(lambda c: {row[0] for row in c.execute("SELECT person FROM people")})
    assert rows == {f"p{number}" for number in range(50)} - {"p7"}
    assert 1 <= len(commits) <= 3


async def test_closing_waits_for_what_was_asked_before(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    writing = asyncio.create_task(db.write(lambda c: c.execute("INSERT INTO people VALUES ('ada', 'now')")))
    await asyncio.sleep(0)
    await db.close()
    await writing
    connection = open_for_reading(tmp_path / "ovation.db")
    assert connection.execute("SELECT count(*) FROM people").fetchone()[0] == 1
    connection.close()


async def test_statements_run_on_the_connections_own_thread_or_within_what_a_connection_does(db: Database) -> None:
    @read
    def thread(_: sqlite3.Connection) -> int:
        return threading.get_ident()

    assert await thread(db) == await db.read(thread) == await db.write(thread)
    assert await thread(db) != threading.get_ident()
    with closing(sqlite3.connect(":memory:")) as connection:
        assert thread(connection) == threading.get_ident()


async def test_a_closed_database_says_so(db: Database) -> None:
    await db.close()
    await db.close()
    with pytest.raises(DatabaseClosed):
        await db.read(lambda c: c.execute("SELECT 1"))


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ovation.db"
    file.write_bytes(b"this is not a database, but long enough to look at" * 100)
    with pytest.raises(DatabaseUnusable, match="restore a backup"):
        await Database.open(file)


async def test_durability_settings_hold(db: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    values = await db.read(lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in names])
    assert values == ["wal", 2, 1, 5000]


def test_a_failing_migration_rolls_back_and_stays_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    set_up(connection, None)
    schema.migrate(connection)
    broken = ("0002 broken", ("CREATE TABLE fine (a TEXT) STRICT", "CREATE TABLE broken ("))
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection)
    assert schema.pending(connection) == ["0002 broken"]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert "fine" not in tables and "ratings" in tables


async def test_a_database_of_a_newer_ovation_is_refused(db: Database, tmp_path: Path) -> None:
    await db.write(lambda c: c.execute("INSERT INTO migrations VALUES ('9999 future', 'then')"))
    await db.close()
    with pytest.raises(DatabaseUnusable, match="newer Ovation"):
        await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))


def test_reading_a_database_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="start the bot once"):
        open_for_reading(tmp_path / "none.db")


def test_reading_what_is_no_database_says_restore_and_not_to_start_the_bot(tmp_path: Path) -> None:
    (tmp_path / "torn.db").write_bytes(b"torn" * 1000)
    with pytest.raises(DatabaseUnusable, match="not a database.*run ovation restore"):
        open_for_reading(tmp_path / "torn.db")


async def test_facts_can_be_read_beside_the_bot_and_after_it(db: Database, tmp_path: Path) -> None:
    await db.write(lambda c: c.execute("INSERT INTO people VALUES ('ada', 'now')"))
    for _ in range(2):
        connection = open_for_reading(tmp_path / "ovation.db")
        assert connection.execute("SELECT count(*) FROM people").fetchone()[0] == 1
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM people")
        connection.close()
        await db.close()
