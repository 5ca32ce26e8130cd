"""Runs, the versions they made, which ratings made them, and the clock's last slot. Knows no model and no schedule."""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from storage.db.database import Database
from storage.db.records import ConsentedGeneration, ProgressMessage, Run, RunVerdict
from storage.tables import ratings


async def start(db: Database, *, slot: str | None, at: datetime) -> Run | None:
    """Begin a run; None when one is running, or when this slot has had its run."""

    def insert(connection: sqlite3.Connection) -> Run | None:
        cursor = connection.execute(
            "INSERT INTO runs (slot, state, started_at) VALUES (?, 'running', ?) ON CONFLICT DO NOTHING",
            (slot, at.isoformat()),
        )
        if cursor.rowcount != 1:
            return None
        return _run(connection.execute("SELECT * FROM runs WHERE id = ?", (cursor.lastrowid,)).fetchone())

    return await db.write(insert)


async def resume(db: Database) -> Run | None:
    """The run that a crash or restart cut off, counted as tried once more; None when there is none."""

    def take(connection: sqlite3.Connection) -> Run | None:
        connection.execute("UPDATE runs SET attempts = attempts + 1 WHERE state = 'running'")
        row = connection.execute("SELECT * FROM runs WHERE state = 'running'").fetchone()
        return None if row is None else _run(row)

    return await db.write(take)


async def end(
    db: Database,
    run: int,
    *,
    verdict: RunVerdict,
    reason: str,
    numbers: dict[str, float],
    version: str | None,
    at: datetime,
) -> None:
    """Write a run's verdict, its reason (a code and numbers) and the version that serves after it."""
    await db.write(
        lambda c: c.execute(
            "UPDATE runs SET state = 'ended', verdict = ?, reason = ?, numbers = ?, version = ?, ended_at = ?"
            " WHERE id = ?",
            (verdict, reason, json.dumps(numbers), version, at.isoformat(), run),
        )
    )


async def take_training_data(db: Database, run: int, *, fewest: int) -> list[ConsentedGeneration]:
    """What a run learns from: all that is agreed to now, recorded in the same transaction in the place of what an
    earlier attempt recorded. So whoever is forgotten from then on taints the run.

    With fewer ratings than `fewest` nothing is recorded.
    """

    def take(connection: sqlite3.Connection) -> list[ConsentedGeneration]:
        texts = ratings.consented_in(connection)
        if sum(len(text.ratings) for text in texts) >= fewest:
            _record_lineage(connection, run, texts)
        return texts

    return await db.write(take)


def _record_lineage(connection: sqlite3.Connection, run: int, texts: Iterable[ConsentedGeneration]) -> None:
    rated = {(run, rating.generation, rating.rater) for text in texts for rating in text.ratings}
    rows = rated | {(run, signal.generation, signal.person) for text in texts for signal in text.signals}
    connection.execute("DELETE FROM lineage WHERE run = ?", (run,))
    connection.executemany("INSERT INTO lineage VALUES (?, ?, ?)", rows)
    connection.execute("UPDATE runs SET ratings = ?, tainted_at = NULL WHERE id = ?", (len(rated), run))


async def latest(db: Database) -> Run | None:
    """The newest run, running or ended."""
    row = await db.read(lambda c: c.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone())
    return None if row is None else _run(row)


async def add_progress_message(db: Database, run: int, message: ProgressMessage) -> None:
    """Remember a message that follows this run."""
    await db.write(
        lambda c: c.execute(
            "INSERT INTO announcements VALUES (?, ?, ?, ?) ON CONFLICT (run, chat_id)"
            " DO UPDATE SET message_id = excluded.message_id, language = excluded.language",
            (run, message.chat_id, message.message_id, message.language),
        )
    )


async def progress_messages(db: Database, run: int) -> list[ProgressMessage]:
    """The messages that follow this run."""
    rows = await db.read(lambda c: c.execute("SELECT * FROM announcements WHERE run = ?", (run,)).fetchall())
    return [
        ProgressMessage(chat_id=row["chat_id"], message_id=row["message_id"], language=row["language"]) for row in rows
    ]


async def latest_language_in(db: Database, chat_id: int) -> str | None:
    """The language in which the last run was asked for in a chat; None where none was."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT language FROM announcements WHERE chat_id = ? ORDER BY run DESC LIMIT 1", (chat_id,)
        ).fetchone()
    )
    return None if row is None else str(row["language"])


async def last_slot(db: Database, *, default: datetime) -> datetime:
    """The last moment up to which the schedule was looked after; `default` becomes it on the first call."""

    def ask(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO slots VALUES (1, ?) ON CONFLICT DO NOTHING", (default.isoformat(),))
        (seen_at,) = connection.execute("SELECT seen_at FROM slots").fetchone()
        return str(seen_at)

    return datetime.fromisoformat(await db.write(ask))


async def record_slot(db: Database, *, at: datetime) -> None:
    """The schedule has been looked after up to `at`."""
    await db.write(lambda c: c.execute("UPDATE slots SET seen_at = ?", (at.isoformat(),)))


async def last_success(db: Database) -> datetime | None:
    """When the last run ended that was neither skipped nor failed."""
    (at,) = await db.read(
        lambda c: c.execute(
            "SELECT max(ended_at) FROM runs WHERE verdict IN ('promoted', 'canary', 'rejected')"
        ).fetchone()
    )
    return None if at is None else datetime.fromisoformat(at)


def running(connection: sqlite3.Connection) -> Run | None:
    """The run that is under way."""
    row = connection.execute("SELECT * FROM runs WHERE state = 'running'").fetchone()
    return None if row is None else _run(row)


def ended(connection: sqlite3.Connection) -> list[Run]:
    """Every ended run, oldest first, for the export."""
    return [_run(row) for row in connection.execute("SELECT * FROM runs WHERE state = 'ended' ORDER BY id")]


def started_since(connection: sqlite3.Connection, since: datetime) -> list[Run]:
    """Every run that began after a moment, also one under way, newest first."""
    rows = connection.execute("SELECT * FROM runs WHERE started_at >= ? ORDER BY id DESC", (since.isoformat(),))
    return [_run(row) for row in rows]


def _run(row: sqlite3.Row) -> Run:
    return Run(
        id=row["id"],
        slot=row["slot"],
        attempts=row["attempts"],
        started_at=datetime.fromisoformat(row["started_at"]),
        verdict=row["verdict"],
        reason=row["reason"],
        numbers=json.loads(row["numbers"]),
        ratings=row["ratings"],
        version=row["version"],
        ended_at=None if row["ended_at"] is None else datetime.fromisoformat(row["ended_at"]),
    )
