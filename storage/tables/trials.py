"""Trials: a version beside, or after, the one before it, and how it ended. Knows ratings, not what they prove.

A base has one open trial at most. It begins and ends in the very transaction that changes who serves.
"""

import json
import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Deed, LiveRating, Trial, TrialEnd, TrialWay
from storage.tables import audit
from storage.tables.agreement import agreed

_ACTOR = "ratings"
"""Who stands in the audit where nobody but the ratings has decided."""

_CONSENTED = f"""
    SELECT r.generation, r.rater, r.value, g.chat, g.author, p.first_seen_at
    FROM generations g JOIN ratings r ON r.generation = g.id JOIN people p ON p.person = r.rater
    WHERE g.version = :version AND g.created_at >= :since AND g.created_at < :before AND r.value IS NOT NULL
        AND {agreed("r.rater")}
    ORDER BY r.generation DESC, r.rater LIMIT :most
"""  # noqa: S608 - of our own


async def present(db: Database, base: str) -> Trial | None:
    """The trial of a base that is under way."""
    return await db.read(lambda c: present_in(c, base))


async def ratings(db: Database, version: str, *, since: datetime, before: datetime, most: int) -> list[LiveRating]:
    """Consented ratings of the texts that were asked for from `since` until `before`, newest texts first."""
    values = {"version": version, "since": since.isoformat(), "before": before.isoformat(), "most": most}
    rows = await db.read(lambda c: c.execute(_CONSENTED, values).fetchall())
    return [
        LiveRating(
            generation=row["generation"],
            rater=row["rater"],
            chat=row["chat"],
            value=row["value"],
            is_own=row["author"] == row["rater"],
            rater_first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
        )
        for row in rows
    ]


async def untold(db: Database) -> list[Trial]:
    """Trials that the ratings have ended and nobody has been told of, oldest first."""
    rows = await db.read(
        lambda c: c.execute("SELECT * FROM trials WHERE outcome IS NOT NULL AND NOT is_told ORDER BY id").fetchall()
    )
    return [_trial(row) for row in rows]


async def tell(db: Database, trial: int) -> None:
    """The admins have been told how a trial ended."""
    await db.write(lambda c: c.execute("UPDATE trials SET is_told = 1 WHERE id = ?", (trial,)))


def present_in(connection: sqlite3.Connection, base: str) -> Trial | None:
    """`present` as a part of a transaction."""
    row = connection.execute("SELECT * FROM trials WHERE base = ? AND outcome IS NULL", (base,)).fetchone()
    return None if row is None else _trial(row)


def begin(
    connection: sqlite3.Connection, *, base: str, version: str, reference: str, way: TrialWay, at: datetime
) -> None:
    """Open a trial, as a part of a transaction; none may be open."""
    connection.execute(
        "INSERT INTO trials (base, version, reference, way, began_at) VALUES (?, ?, ?, ?, ?)",
        (base, version, reference, way, at.isoformat()),
    )


def break_off(connection: sqlite3.Connection, base: str, *, at: datetime) -> None:
    """End an open trial without a finding, as a part of a transaction: a person, or a newer version, has decided."""
    connection.execute(
        "UPDATE trials SET outcome = 'broken_off', is_told = 1, ended_at = ? WHERE base = ? AND outcome IS NULL",
        (at.isoformat(), base),
    )


def end(connection: sqlite3.Connection, trial: Trial, ending: TrialEnd, *, at: datetime) -> None:
    """End a trial by what the ratings say, as a part of a transaction, on its run and in the audit as well."""
    connection.execute(
        "UPDATE trials SET outcome = ?, serves = ?, numbers = ?, ended_at = ? WHERE id = ?",
        (ending.outcome, ending.serves, json.dumps(ending.numbers), at.isoformat(), trial.id),
    )
    audit.append_in(connection, Deed(at, _ACTOR, ending.outcome, trial.version))
    if ending.verdict is not None:
        connection.execute(
            "UPDATE runs SET verdict = ?, reason = ?, version = ?, numbers = json_patch(numbers, ?)"
            " WHERE state = 'ended' AND id = (SELECT run FROM versions WHERE name = ?)",
            (ending.verdict, ending.reason, ending.serves, json.dumps(ending.numbers), trial.version),
        )


def _trial(row: sqlite3.Row) -> Trial:
    return Trial(
        id=row["id"],
        version=row["version"],
        reference=row["reference"],
        way=row["way"],
        began_at=datetime.fromisoformat(row["began_at"]),
        outcome=row["outcome"],
        serves=row["serves"],
        numbers=json.loads(row["numbers"]),
    )
