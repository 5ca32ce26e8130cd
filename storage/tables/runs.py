"""Runs: when they were due, what they have learned from and what came of it, and which ones are tainted.

A run is tainted once somebody whom it has learned from is forgotten or banned; so is the version that it made.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from sqlite3 import Connection

from storage.db.database import first, read, records, value, write
from storage.db.records import ConsentedText, ProgressMessage, Run, RunVerdict
from storage.tables import ratings

TRAINED_ON = """
    SELECT DISTINCT l.run FROM lineage l JOIN generations g ON g.id = l.generation
    WHERE l.rater = :person OR g.author = :person
"""
"""The runs that have learned from a person, or from what others said to their texts."""


@write
def last_slot(connection: Connection, *, default: datetime) -> datetime:
    """The last moment up to which the schedule was looked after; `default` becomes it on the first call."""
    connection.execute("INSERT INTO slots VALUES (1, ?) ON CONFLICT DO NOTHING", (default,))
    return value(datetime, connection.execute("SELECT seen_at FROM slots")) or default


@write
def record_slot(connection: Connection, *, at: datetime) -> None:
    """The schedule has been looked after up to `at`."""
    connection.execute("UPDATE slots SET seen_at = ?", (at,))


@write
def start(connection: Connection, *, slot: str | None, at: datetime) -> Run | None:
    """Begin a run; None when one is running, or when this slot has had its run.

    One that began later than now was begun by a clock that was ahead, and does not count.
    """
    connection.execute("UPDATE runs SET slot = NULL WHERE slot = ? AND state = 'ended' AND started_at > ?", (slot, at))
    query = "INSERT INTO runs (slot, state, started_at) VALUES (?, 'running', ?) ON CONFLICT DO NOTHING RETURNING *"
    return first(Run, connection.execute(query, (slot, at)))


@write
def resume(connection: Connection) -> Run | None:
    """The run that a crash or restart cut off, counted as tried once more; None when there is none."""
    connection.execute("UPDATE runs SET attempts = attempts + 1 WHERE state = 'running'")
    return running(connection)


@write
def take_training_data(connection: Connection, run: int, *, fewest: int) -> list[ConsentedText]:
    """All that is agreed to now, recorded in the same transaction as what the run learns from, in the place of what an
    earlier attempt recorded. So whoever is forgotten from then on taints the run.

    With fewer ratings than `fewest` nothing is recorded.
    """
    texts = ratings.consented(connection)
    rated = {(run, rating.generation, rating.rater) for text in texts for rating in text.ratings}
    if sum(len(text.ratings) for text in texts) >= fewest:
        signals = {(run, signal.generation, signal.person) for text in texts for signal in text.signals}
        connection.execute("DELETE FROM lineage WHERE run = ?", (run,))
        connection.executemany("INSERT INTO lineage VALUES (?, ?, ?)", rated | signals)
        connection.execute("UPDATE runs SET ratings = ?, tainted_at = NULL WHERE id = ?", (len(rated), run))
    return texts


@write
def end(
    connection: Connection,
    run: int,
    *,
    verdict: RunVerdict,
    reason: str,
    numbers: dict[str, float],
    version: str | None,
    at: datetime,
) -> None:
    """Write a run's verdict, its reason (a code and numbers) and the version that serves after it."""
    connection.execute(
        "UPDATE runs SET state = 'ended', verdict = ?, reason = ?, numbers = ?, version = ?, ended_at = ? WHERE id = ?",
        (verdict, reason, json.dumps(numbers), version, at, run),
    )


@read
def running(connection: Connection) -> Run | None:
    """The run that is under way."""
    return first(Run, connection.execute("SELECT * FROM runs WHERE state = 'running'"))


@read
def latest(connection: Connection) -> Run | None:
    """The newest run, running or ended."""
    return first(Run, connection.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1"))


@read
def last_success(connection: Connection) -> datetime | None:
    """When the last run ended that was neither skipped nor failed."""
    query = "SELECT max(ended_at) FROM runs WHERE verdict IN ('promoted', 'canary', 'rejected')"
    return value(datetime, connection.execute(query))


@read
def ended(connection: Connection) -> list[Run]:
    """Every ended run, oldest first."""
    return records(Run, connection.execute("SELECT * FROM runs WHERE state = 'ended' ORDER BY id"))


@read
def started_since(connection: Connection, since: datetime) -> list[Run]:
    """Every run that began after a moment, also one under way, newest first."""
    return records(Run, connection.execute("SELECT * FROM runs WHERE started_at >= ? ORDER BY id DESC", (since,)))


@write
def taint(connection: Connection, runs: Iterable[int], *, at: datetime) -> None:
    """Taint runs; a first taint's date stands."""
    connection.execute(
        "UPDATE runs SET tainted_at = coalesce(tainted_at, ?) WHERE id IN (SELECT value FROM json_each(?))",
        (at, json.dumps(list(runs))),
    )


@write
def taint_trained_on(connection: Connection, person: str, *, at: datetime) -> None:
    """Taint the runs that have learned from a person, or from what others said to their texts."""
    taint(connection, [run for (run,) in connection.execute(TRAINED_ON, {"person": person})], at=at)


@write
def add_progress_message(connection: Connection, run: int, message: ProgressMessage) -> None:
    """Remember a message that follows this run."""
    connection.execute(
        "INSERT INTO announcements VALUES (?, ?, ?, ?) ON CONFLICT (run, chat_id)"
        " DO UPDATE SET message_id = excluded.message_id, language = excluded.language",
        (run, message.chat_id, message.message_id, message.language),
    )


@read
def progress_messages(connection: Connection, run: int) -> list[ProgressMessage]:
    """The messages that follow this run."""
    return records(ProgressMessage, connection.execute("SELECT * FROM announcements WHERE run = ?", (run,)))


@read
def latest_language_in(connection: Connection, chat_id: int) -> str | None:
    """The language in which the last run was asked for in a chat; None where none was."""
    query = "SELECT language FROM announcements WHERE chat_id = ? ORDER BY run DESC LIMIT 1"
    return value(str, connection.execute(query, (chat_id,)))
