"""The database under faults: killed in a migration or an erasure, shared with other programs, locked by one of them."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from storage.backup.integrity import damage_in
from storage.db.database import Database, open_for_reading, set_up
from storage.db.errors import DatabaseUnusable
from storage.db.schema import MIGRATIONS, migrate, pending
from storage.privacy import erasure
from tests.storage.conftest import NOON
from tests.support.killing import killed_at_statement
from tests.support.stored.histories import PEOPLE, opened, rows_of, write_history

LATER = datetime.fromisoformat("2026-12-01T00:00:00+00:00")

VISIT = """
import sqlite3, sys
for _ in range(60):
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("SELECT count(*) FROM people").fetchone()
    connection.close()
"""

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def schema(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")]


def bring_up(connection: sqlite3.Connection) -> None:
    set_up(connection, None)
    migrate(connection)


def test_a_migration_killed_at_any_statement_leaves_the_old_schema_or_the_new_one_and_a_rerun_completes_it(
    tmp_path: Path,
) -> None:
    known = []
    for count in range(len(MIGRATIONS) + 1):
        with (
            closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
            pytest.MonkeyPatch.context() as p,
        ):
            p.setattr("storage.db.schema.MIGRATIONS", MIGRATIONS[:count])
            set_up(connection, None)
            migrate(connection)
            known.append(schema(connection))
    seen = set()
    for step in range(1, 1000):
        file = tmp_path / f"{step}.db"
        was_killed = killed_at_statement(step, file, bring_up)
        with opened(file) as connection:
            if schema(connection):  # or it was killed before it had even made the table of steps
                left = len(pending(connection))
                assert schema(connection) == known[len(MIGRATIONS) - left]
                seen.add(left)
            migrate(connection)
            assert schema(connection) == known[-1] and damage_in(connection) is None
        if not was_killed:
            break
    assert not was_killed and seen == set(range(len(MIGRATIONS) + 1)), "every state in between was met"


def test_an_erasure_killed_at_any_statement_leaves_everything_or_nothing_and_a_rerun_completes_it(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole.db"
    write_history(whole, texts=12, seed=5)
    before = {person: rows_of(whole, person) for person in PEOPLE}

    def erase(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        erasure.erase(connection, "ada", before=LATER)
        connection.execute("COMMIT")

    with opened(whole) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    seen = set()
    for step in range(1, 1000):
        file = tmp_path / f"{step}.db"
        shutil.copy(whole, file)
        was_killed = killed_at_statement(step, file, erase)
        after = {person: rows_of(file, person) for person in PEOPLE}
        seen.add(after["ada"])
        assert after["ada"] == 0 or after == before
        with opened(file) as connection:
            erase(connection)
            assert damage_in(connection) is None
        assert rows_of(file, "ada") == 0
        if not was_killed:
            break
    assert not was_killed and seen == {0, before["ada"]}


async def test_readers_inside_the_bot_and_programs_beside_it_lose_no_acknowledged_commit(tmp_path: Path) -> None:
    file = tmp_path / "ovation.db"
    db = await Database.open(file)
    visitor = await asyncio.create_subprocess_exec(sys.executable, "-B", "-c", VISIT, str(file))
    acknowledged = 0
    while visitor.returncode is None or acknowledged < 200:
        person = f"person {acknowledged}"
        await db.write(lambda c, person=person: c.execute("INSERT INTO people VALUES (?, 'now')", (person,)))  # type: ignore[misc]
        acknowledged += 1
        with closing(open_for_reading(file)) as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone()[0] == acknowledged
        await asyncio.sleep(0)
    assert visitor.returncode == 0
    crashed = tmp_path / "crashed.db"  # what a power cut now would leave
    for suffix in ("", "-wal"):
        await asyncio.to_thread(subprocess.run, ["cp", f"{file}{suffix}", f"{crashed}{suffix}"], check=True)
    await db.close()
    for left in (file, crashed):
        with closing(open_for_reading(left)) as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone()[0] == acknowledged
            assert damage_in(connection) is None


async def test_a_program_that_holds_the_database_delays_a_write_and_loses_none(tmp_path: Path) -> None:
    file = tmp_path / "ovation.db"
    db = await Database.open(file)
    with subprocess.Popen(
        [sys.executable, "-B", "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        await asyncio.to_thread(holder.stdout.readline)
        writes = [
            asyncio.create_task(
                db.write(lambda c, n=n: c.execute("INSERT INTO people VALUES (?, ?)", (f"{n}", NOON.isoformat())))  # type: ignore[misc]
            )
            for n in range(20)
        ]
        await asyncio.sleep(0.3)
        assert not any(write.done() for write in writes)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        await asyncio.gather(*writes)
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM people").fetchone()[0]) == 20
    await db.close()


async def test_a_program_that_holds_the_database_for_too_long_gets_a_write_refused_and_a_later_try_succeeds(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ovation.db"
    db = await Database.open(file)
    await db.read(lambda c: c.execute("PRAGMA busy_timeout = 50").fetchall())
    with opened(file) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match="cannot be written: database is locked"):
            await db.write(lambda c: c.execute("INSERT INTO people VALUES ('ada', 'now')"))
        assert not await db.read(lambda c: c.in_transaction)
        holder.execute("ROLLBACK")
    await db.write(lambda c: c.execute("INSERT INTO people VALUES ('ada', 'now')"))
    await db.close()
    assert rows_of(file, "ada") == 1
