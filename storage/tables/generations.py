"""Generations and their way to a person: accepted, placed, written, delivered. Knows texts, not what they mean.

What was asked and written lies encrypted under its author's key (`storage.db.keyring`), a conversation that repeats
words
of others under theirs as well.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Delivery, Generation, NewGeneration, Turn
from storage.tables import fingerprints, signals

_COLUMNS = """
    SELECT g.id, g.kind, g.chat, g.author, decrypted(g.messages) AS messages, g.seed, g.state, g.created_at,
        g.version, decrypted(g.text) AS text, g.parent, g.best_of, g.standing,
        d.chat_id, d.thread_id, d.reply_to, d.message_id, d.language, d.is_channel, o.token
    FROM generations g JOIN deliveries d ON d.generation = g.id LEFT JOIN offers o ON o.generation = g.id
"""

_UNFINISHED = "g.state IN ('accepted', 'placed', 'written')"

_QUOTED = """
    WITH RECURSIVE above (author, parent) AS (
        SELECT author, parent FROM generations WHERE id = ?
        UNION SELECT g.author, g.parent FROM above a JOIN generations g ON g.id = a.parent
    )
    SELECT DISTINCT author FROM above WHERE author <> ?
"""


async def accept(db: Database, new: NewGeneration) -> Generation | None:
    """Record a prompt, and what it says of its parent; None when its update was recorded before."""
    return await db.write(lambda c: accept_in(c, new))


def accept_in(connection: sqlite3.Connection, new: NewGeneration) -> Generation | None:
    """`accept` as a part of a transaction."""
    connection.execute(
        "INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING",
        (new.author, new.created_at.isoformat()),
    )
    cursor = connection.execute(
        "INSERT INTO generations (update_id, kind, chat, author, messages, parent, seed, created_at)"
        " VALUES (?, ?, ?, ?, encrypted(?, ?), ?, ?, ?) ON CONFLICT (update_id) DO NOTHING",
        (
            new.update_id,
            new.kind,
            new.chat,
            new.author,
            new.author,
            _under_keys_of_quoted(connection, new),
            new.parent,
            new.seed,
            new.created_at.isoformat(),
        ),
    )
    if cursor.rowcount != 1 or cursor.lastrowid is None:
        return None
    to = new.delivery
    connection.execute(
        "INSERT INTO deliveries (generation, chat_id, thread_id, reply_to, language, is_channel)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (cursor.lastrowid, to.chat_id, to.thread_id, to.reply_to, to.language, to.is_channel),
    )
    if new.signal is not None and new.parent is not None:
        signals.record_in(connection, new.update_id, new.parent, new.author, new.signal, at=new.created_at)
    return with_id(connection, cursor.lastrowid)


async def write_text(
    db: Database, generation: int, *, text: str, version: str, best_of: int = 1, marks: Sequence[int] = ()
) -> bool:
    """The text is final, before anybody sees it: a restart will show this one and no other. `marks` is its fingerprint.

    False: nobody waits for it any more, because it was stopped or forgotten; it must not be shown.
    """

    def write(connection: sqlite3.Connection) -> bool:
        written = connection.execute(
            "UPDATE generations SET state = 'written', text = encrypted(author, ?), version = ?, best_of = ?"
            " WHERE id = ? AND state = 'placed'",
            (text, version, best_of, generation),
        )
        if written.rowcount != 1:
            return False
        fingerprints.record_in(connection, generation, marks)
        return True

    return await db.write(write)


async def end(db: Database, generation: int, *, delivered: bool, at: datetime) -> None:
    """The generation has reached its last state: delivered, or failed."""
    await db.write(
        lambda c: c.execute(
            "UPDATE generations SET state = ?, delivered_at = ? WHERE id = ?",
            ("delivered" if delivered else "failed", at.isoformat(), generation),
        )
    )


async def unfinished(db: Database) -> list[Generation]:
    """Accepted generations that have not reached their last state, oldest first; no takes of inline mode.

    Nobody waits for such a take any more when the process that wrote it has ended.
    """
    return await db.read(
        lambda c: [
            _generation(row)
            for row in c.execute(f"{_COLUMNS} WHERE {_UNFINISHED} AND o.generation IS NULL ORDER BY g.id")
        ]
    )


async def count_unfinished(db: Database) -> int:
    """How many prompts wait for their answer."""
    row = await db.read(
        lambda c: c.execute(
            f"SELECT count(*) FROM generations g LEFT JOIN offers o ON o.generation = g.id"  # noqa: S608 - of our own
            f" WHERE {_UNFINISHED} AND o.generation IS NULL"
        ).fetchone()
    )
    return int(row[0])


async def by_id(db: Database, generation: int) -> Generation | None:
    """The generation with this number."""
    return await db.read(lambda c: with_id(c, generation))


def with_id(connection: sqlite3.Connection, generation: int) -> Generation | None:
    """`by_id` as a part of a transaction."""
    return _one(connection, "g.id = ?", generation)


async def by_message(db: Database, *, chat_id: int, message_id: int) -> Generation | None:
    """The generation that a message of ours shows; None for every other message."""
    return await db.read(lambda c: in_message(c, chat_id=chat_id, message_id=message_id))


def in_message(connection: sqlite3.Connection, *, chat_id: int, message_id: int) -> Generation | None:
    """`by_message` as a part of a transaction."""
    return _one(connection, "d.chat_id = ? AND d.message_id = ?", chat_id, message_id)


async def count_since(db: Database, author: str, *, since: datetime) -> int:
    """How many prompts a person has sent since a moment."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT count(*) FROM generations WHERE author = ? AND created_at >= ?",
            (author, since.isoformat()),
        ).fetchone()
    )
    return int(row[0])


async def language_in(db: Database, chat_id: int) -> str | None:
    """The language of the last prompt in a chat; None where there was none."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT language FROM deliveries WHERE chat_id = ? ORDER BY generation DESC LIMIT 1", (chat_id,)
        ).fetchone()
    )
    return None if row is None else str(row["language"])


def all_delivered(connection: sqlite3.Connection) -> list[Generation]:
    """Every delivered generation, oldest first, for the export."""
    return delivered_since(connection, 0)


def delivered_since(connection: sqlite3.Connection, first: int) -> list[Generation]:
    """The delivered generations from a number on, oldest first."""
    rows = connection.execute(f"{_COLUMNS} WHERE g.state = 'delivered' AND g.id >= ? ORDER BY g.id", (first,))
    return [_generation(row) for row in rows]


def _under_keys_of_quoted(connection: sqlite3.Connection, new: NewGeneration) -> str:
    """The conversation in JSON, encrypted once for each other person whose words it repeats, so that it becomes
    unreadable with the key of any of them."""
    value = json.dumps([asdict(turn) for turn in new.messages], ensure_ascii=False)
    for (author,) in connection.execute(_QUOTED, (new.parent, new.author)).fetchall():
        (value,) = connection.execute("SELECT encrypted(?, ?)", (author, value)).fetchone()
    return value


def of_author(connection: sqlite3.Connection, author: str) -> list[Generation]:
    """Everything that a person has asked for, oldest first."""
    rows = connection.execute(f"{_COLUMNS} WHERE g.author = ? ORDER BY g.id", (author,))
    return [_generation(row) for row in rows]


def _one(connection: sqlite3.Connection, condition: str, *values: int) -> Generation | None:
    row = connection.execute(f"{_COLUMNS} WHERE {condition}", values).fetchone()
    return None if row is None else _generation(row)


def _generation(row: sqlite3.Row) -> Generation:
    return Generation(
        id=row["id"],
        kind=row["kind"],
        chat=row["chat"],
        author=row["author"],
        messages=tuple(Turn(**turn) for turn in json.loads(row["messages"] or "[]")),
        seed=row["seed"],
        state=row["state"],
        created_at=datetime.fromisoformat(row["created_at"]),
        delivery=Delivery(
            chat_id=row["chat_id"],
            reply_to=row["reply_to"],
            language=row["language"],
            thread_id=row["thread_id"],
            message_id=row["message_id"],
            is_channel=bool(row["is_channel"]),
        ),
        version=row["version"],
        text=row["text"],
        parent=row["parent"],
        best_of=row["best_of"],
        standing=row["standing"],
        offer=row["token"],
    )
