"""The inbox: what Telegram sent, committed before Telegram may forget it. Knows ids and bodies, nothing of them.

A body lies encrypted under the key of the house, for it is nobody's yet.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from storage.db.database import Database
from storage.db.keyring import INBOX

MAX_ATTEMPTS = 3
"""An update whose handling was cut off this often is buried, so that it cannot stop the bot at every start."""

_KEEP_IDS = timedelta(days=7)

Claim = Literal["claimed", "done", "dead"]


async def accept(db: Database, updates: Sequence[tuple[int, str]], *, at: datetime) -> frozenset[int]:
    """Commit a batch of (update_id, body) in one transaction; ids seen before are ignored. The ids that were new."""

    def insert(connection: sqlite3.Connection) -> frozenset[int]:
        known = connection.execute(
            "SELECT update_id FROM inbox WHERE update_id IN (SELECT value FROM json_each(?))",
            (json.dumps([update_id for update_id, _ in updates]),),
        )
        new = dict(updates)
        for (update_id,) in known.fetchall():
            del new[update_id]
        rows = [(update_id, at.isoformat(), INBOX, body) for update_id, body in new.items()]
        connection.executemany("INSERT INTO inbox (update_id, received_at, body) VALUES (?, ?, encrypted(?, ?))", rows)
        return frozenset(new)

    return await db.write(insert)


async def claim(db: Database, update_id: int) -> Claim:
    """Take an update for handling, unless it is over or has been cut off too often, which buries it now."""

    def take(connection: sqlite3.Connection) -> Claim:
        taken = connection.execute(
            "UPDATE inbox SET attempts = attempts + 1 WHERE update_id = ? AND state = 'new' AND attempts < ?",
            (update_id, MAX_ATTEMPTS),
        )
        if taken.rowcount == 1:
            return "claimed"
        buried = connection.execute(
            "UPDATE inbox SET state = 'dead', body = NULL, error = 'cut off too often'"
            " WHERE update_id = ? AND state = 'new'",
            (update_id,),
        )
        return "dead" if buried.rowcount == 1 else "done"

    return await db.write(take)


async def finish(db: Database, update_id: int) -> None:
    """Handled: the body is dropped, the id is kept against duplicates."""
    await db.write(
        lambda c: c.execute(
            "UPDATE inbox SET state = 'done', body = NULL WHERE update_id = ? AND state = 'new'", (update_id,)
        )
    )


async def mark_dead(db: Database, update_id: int, *, error: str) -> None:
    """The handler failed: keep the kind of error (never its text) and do not try again."""
    await db.write(
        lambda c: c.execute(
            "UPDATE inbox SET state = 'dead', body = NULL, error = ? WHERE update_id = ?", (error, update_id)
        )
    )


async def unfinished(db: Database) -> list[tuple[int, str]]:
    """Ids and bodies of the accepted updates that nobody has handled yet, oldest first."""
    rows = await db.read(
        lambda c: c.execute(
            "SELECT update_id, decrypted(body) AS body FROM inbox WHERE state = 'new' ORDER BY received_at, update_id"
        ).fetchall()
    )
    return [(row["update_id"], row["body"]) for row in rows]


async def prune(db: Database, *, now: datetime) -> None:
    """Drop the ids of updates that Telegram can no longer send again."""
    limit = (now - _KEEP_IDS).isoformat()
    await db.write(lambda c: c.execute("DELETE FROM inbox WHERE state <> 'new' AND received_at < ?", (limit,)))


async def backlog(db: Database, *, now: datetime) -> tuple[int, float, int]:
    """How many updates wait, for how many seconds the oldest has, and how many were buried."""
    count, oldest, dead = await db.read(
        lambda c: c.execute(
            "SELECT count(*) FILTER (WHERE state = 'new'), min(received_at) FILTER (WHERE state = 'new'),"
            " count(*) FILTER (WHERE state = 'dead') FROM inbox"
        ).fetchone()
    )
    age = 0.0 if oldest is None else (now - datetime.fromisoformat(oldest)).total_seconds()
    return count, age, dead


async def check_writable(db: Database) -> None:
    """Write something small: whether the disk takes writes can only be found out by writing.

    Raises:
        DatabaseUnusable: it does not.
    """
    await db.write(lambda c: c.execute("UPDATE pulse SET beats = beats + 1"))
