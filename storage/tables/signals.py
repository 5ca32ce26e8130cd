"""Signals: somebody wanted another text in the place of one, or a change to it, and so prompted anew; or has chosen
between two (`storage.tables.duels`).

A signal is not a rating: it is weaker, nobody sees it, and it cannot be taken back. Knows what was done, not what it
is worth.
"""

import sqlite3
from datetime import datetime

from storage.db.records import PromptSignal, Signal
from storage.tables.agreement import agreed

_CONSENTED = f"""
    SELECT s.*, p.first_seen_at
    FROM doings s JOIN generations g ON g.id = s.generation JOIN people p ON p.person = s.person
    WHERE s.generation >= ? AND g.version IS NOT NULL
        AND {agreed("s.person")}
    ORDER BY s.generation, s.at, s.person
"""  # noqa: S608 - of our own


def record_in(
    connection: sqlite3.Connection, update_id: int, generation: int, person: str, signal: PromptSignal, *, at: datetime
) -> None:
    """Record a signal as a part of a transaction; a repeated update changes nothing."""
    connection.execute(
        "INSERT INTO signals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (update_id, generation, person, signal, at.isoformat()),
    )


def consented_since(connection: sqlite3.Connection, first: int) -> list[Signal]:
    """The signals on the generations from a number on; author and person have opted in, in that chat. By generation."""
    return [
        Signal(
            generation=row["generation"],
            person=row["person"],
            signal=row["signal"],
            at=datetime.fromisoformat(row["at"]),
            person_first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
        )
        for row in connection.execute(_CONSENTED, (first,))
    ]
