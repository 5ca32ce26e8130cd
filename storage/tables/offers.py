"""Offers: takes that are written before anybody has chosen one, and the inline messages that show those that were.

A take becomes *delivered* once somebody has chosen it. Telegram says so, if it is asked to; where it does not, the
first press under the message tells the same. One take may stand in many messages. Knows tokens, no Telegram type.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Generation, NewGeneration
from storage.privacy import erasure
from storage.tables import generations

_UNCHOSEN = """
    SELECT g.id FROM generations g JOIN offers o ON o.generation = g.id
    WHERE g.state <> 'delivered' AND g.created_at <= :before ORDER BY g.id DESC
"""


async def accept(db: Database, takes: Sequence[tuple[str, NewGeneration]], *, home: str) -> list[Generation]:
    """Record prompts whose texts are to be offered, each with its token; `home` is their author's private chat.

    None of those whose update was recorded before.
    """

    def insert(connection: sqlite3.Connection) -> list[Generation]:
        accepted = []
        for token, new in takes:
            if (take := generations.accept_in(connection, new)) is not None:
                note_home_in(connection, new.author, home, at=new.created_at)
                connection.execute("UPDATE generations SET state = 'placed' WHERE id = ?", (take.id,))
                connection.execute("INSERT INTO offers VALUES (?, ?)", (take.id, token))
                accepted.append(generations.with_id(connection, take.id))
        return [take for take in accepted if take is not None]

    return await db.write(insert)


async def written(db: Database, numbers: Sequence[int]) -> list[Generation]:
    """Those of the takes that have their text, in order."""

    def read(connection: sqlite3.Connection) -> list[Generation]:
        found = (generations.with_id(connection, number) for number in numbers)
        return [take for take in found if take is not None and take.text is not None]

    return await db.read(read)


async def drop(db: Database, numbers: Sequence[int], *, at: datetime) -> None:
    """Nobody waits for these takes any more: those without a text lose their prompts as well."""
    await db.write(
        lambda c: c.execute(
            "UPDATE generations SET state = 'failed', messages = '[]', delivered_at = ?"
            " WHERE state = 'placed' AND id IN (SELECT value FROM json_each(?))",
            (at.isoformat(), json.dumps(numbers)),
        )
    )


async def choose(db: Database, token: str, *, shown_in: str, at: datetime) -> Generation | None:
    """The take with this token stands in an inline message; None where there is none, or no longer."""

    def record(connection: sqlite3.Connection) -> Generation | None:
        row = connection.execute(
            "SELECT g.id FROM offers o JOIN generations g ON g.id = o.generation"
            " WHERE o.token = ? AND g.state IN ('written', 'delivered')",
            (token,),
        ).fetchone()
        if row is None:
            return None
        connection.execute("INSERT INTO inline_messages VALUES (?, ?) ON CONFLICT DO NOTHING", (shown_in, row["id"]))
        connection.execute(
            "UPDATE generations SET state = 'delivered', delivered_at = ? WHERE id = ? AND state = 'written'",
            (at.isoformat(), row["id"]),
        )
        return in_message(connection, shown_in)

    return await db.write(record)


def in_message(connection: sqlite3.Connection, inline_message_id: str) -> Generation | None:
    """The take that an inline message shows, as a part of a transaction."""
    row = connection.execute(
        "SELECT generation FROM inline_messages WHERE inline_message_id = ?", (inline_message_id,)
    ).fetchone()
    return None if row is None else generations.with_id(connection, row["generation"])


async def messages_of(db: Database, generation: int, *, newest: int) -> list[str]:
    """The newest of the inline messages that show a take."""
    rows = await db.read(
        lambda c: c.execute(
            "SELECT inline_message_id FROM inline_messages WHERE generation = ? ORDER BY rowid DESC LIMIT ?",
            (generation, newest),
        ).fetchall()
    )
    return [row["inline_message_id"] for row in rows]


async def note_home(db: Database, person: str, home: str, *, at: datetime) -> None:
    """Remember which chat is a person's private one."""
    await db.write(lambda c: note_home_in(c, person, home, at=at))


def note_home_in(connection: sqlite3.Connection, person: str, home: str, *, at: datetime) -> None:
    """`note_home` as a part of a transaction."""
    connection.execute("INSERT INTO homes VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (person, home, at.isoformat()))


def purge_in(connection: sqlite3.Connection, *, before: datetime) -> int:
    """Delete the takes of up to a moment that nobody has chosen, as a part of a transaction; returns how many."""
    unchosen = tuple(number for (number,) in connection.execute(_UNCHOSEN, {"before": before.isoformat()}))
    if unchosen:
        erasure.delete_texts(connection, unchosen)
    return len(unchosen)
