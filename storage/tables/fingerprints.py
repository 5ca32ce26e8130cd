"""Fingerprints of texts: keyed numbers by which a text is found again, and by which nobody can read it."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from storage.db.database import Database

_CLOSEST = """
    SELECT generation, count(*) AS shared FROM fingerprints WHERE hash IN (SELECT value FROM json_each(?))
    GROUP BY generation ORDER BY shared DESC, generation LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Closest:
    """The text that shares most with another."""

    generation: int
    shared: int
    """Numbers that both have."""


def record_in(connection: sqlite3.Connection, generation: int, marks: Sequence[int]) -> None:
    """Keep a text's fingerprint, as a part of a transaction."""
    connection.executemany(
        "INSERT INTO fingerprints VALUES (?, ?) ON CONFLICT DO NOTHING", [(mark, generation) for mark in marks]
    )


async def closest(db: Database, marks: Sequence[int]) -> Closest | None:
    """The text whose fingerprint has most of these numbers; None where no text has any."""
    row = await db.read(lambda c: c.execute(_CLOSEST, (json.dumps(list(marks)),)).fetchone())
    return None if row is None else Closest(row["generation"], row["shared"])
