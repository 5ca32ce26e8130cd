"""Duels: two texts for one prompt, and which of the two people like better. Knows numbers of texts, nothing of theirs.

A person has one choice in a duel, the last one. It is kept like a signal: without consent for a day (`retention`), and
it teaches only where author and chooser agree.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Generation, NewGeneration
from storage.tables import generations
from storage.tables.agreement import agreed

_PAIRS = f"""
    SELECT c.generation, d.rival, c.rater, c.at, {agreed("c.rater")} AS consented
    FROM choices c JOIN duels d USING (generation) JOIN generations g ON g.id = c.generation
    JOIN generations r ON r.id = d.rival
    WHERE g.text IS NOT NULL AND g.state = 'delivered' AND r.state = 'delivered' ORDER BY c.at, c.generation, c.rater
"""  # noqa: S608 - of our own


@dataclass(frozen=True, slots=True)
class Pair:
    """A choice: one person likes `chosen` better than `rejected`, both by number."""

    chosen: int
    rejected: int
    rater: str
    at: str
    consented: bool
    """Both the author and the rater have opted in, in this chat, at this moment."""


async def accept(db: Database, first: NewGeneration, second: NewGeneration) -> tuple[Generation, ...]:
    """Record a prompt for two texts, both or none; none when its update was recorded before."""

    def insert(connection: sqlite3.Connection) -> tuple[Generation, ...]:
        pair = tuple(generations.accept_in(connection, new) for new in (first, second))
        texts = tuple(text for text in pair if text is not None)
        if len(texts) == 2:
            one, other = texts
            connection.executemany("INSERT INTO duels VALUES (?, ?)", [(one.id, other.id), (other.id, one.id)])
        return texts

    return await db.write(insert)


async def choose(db: Database, generation: int, rater: str, *, at: datetime) -> Generation | None:
    """Like a text better than its rival, whatever was chosen before; returns the rival.

    None: there is no rival, or one of the two is not written yet, or never will be; nothing is recorded.
    """

    def record(connection: sqlite3.Connection) -> Generation | None:
        row = connection.execute(
            "SELECT d.rival FROM duels d JOIN generations g ON g.id = d.generation JOIN generations r ON r.id = d.rival"
            " WHERE d.generation = ? AND g.state IN ('written', 'delivered') AND r.state IN ('written', 'delivered')",
            (generation,),
        ).fetchone()
        if row is None:
            return None
        connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (rater, at.isoformat()))
        connection.execute("DELETE FROM choices WHERE generation = ? AND rater = ?", (row["rival"], rater))
        connection.execute(
            "INSERT INTO choices VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (generation, rater, at.isoformat())
        )
        return generations.with_id(connection, row["rival"])

    return await db.write(record)


def all_pairs(connection: sqlite3.Connection) -> list[Pair]:
    """Every choice that stands, oldest first, for the export."""
    return [Pair(row[0], row[1], row[2], row[3], bool(row[4])) for row in connection.execute(_PAIRS)]
