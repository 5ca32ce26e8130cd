"""The inbox: what Telegram sent, committed before Telegram may forget it.

Bodies are encrypted under a key of the inbox's own, for they are nobody's yet.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from sqlite3 import Connection
from typing import Literal

from storage.db.database import read, write
from storage.db.keyring import INBOX

SUSPICIOUS_ATTEMPTS = 2
"""An update whose handling was cut off this often is to be handled alone from then on: many are handled at once, and
all but one of them were only beside whatever ended the process."""
MAX_ATTEMPTS = 8
"""One that was cut off this often is given up, so that it cannot stop the bot at every start."""

_IDS_KEPT = timedelta(days=7)

Claim = Literal["claimed", "done", "dead"]


@write
def accept(connection: Connection, updates: Sequence[tuple[int, str]], *, at: datetime) -> frozenset[int]:
    """Commit a batch of (update_id, body) in one transaction; ids seen before are ignored. The ids that were new."""
    known = connection.execute(
        "SELECT update_id FROM inbox WHERE update_id IN (SELECT value FROM json_each(?))",
        (json.dumps([update_id for update_id, _ in updates]),),
    )
    new = dict(updates)
    for (update_id,) in known.fetchall():
        del new[update_id]
    rows = [(update_id, at, INBOX, body) for update_id, body in new.items()]
    connection.executemany("INSERT INTO inbox (update_id, received_at, body) VALUES (?, ?, encrypted(?, ?))", rows)
    return frozenset(new)


@write
def claim(connection: Connection, update_id: int) -> Claim:
    """Claim an update for handling, unless it is done, or was cut off too often, which makes it dead now."""
    claimed = connection.execute(
        "UPDATE inbox SET attempts = attempts + 1 WHERE update_id = ? AND state = 'new' AND attempts < ?",
        (update_id, MAX_ATTEMPTS),
    )
    if claimed.rowcount == 1:
        return "claimed"
    dead = connection.execute(
        "UPDATE inbox SET state = 'dead', body = NULL, error = 'cut off too often'"
        " WHERE update_id = ? AND state = 'new'",
        (update_id,),
    )
    return "dead" if dead.rowcount == 1 else "done"


@write
def finish(connection: Connection, update_id: int) -> None:
    """Handled: the body is dropped, the id is kept against duplicates."""
    connection.execute(
        "UPDATE inbox SET state = 'done', body = NULL WHERE update_id = ? AND state = 'new'", (update_id,)
    )


@write
def supersede(connection: Connection, update_ids: Sequence[int]) -> None:
    """What others have made moot is as good as handled."""
    connection.execute(
        "UPDATE inbox SET state = 'done', body = NULL"
        " WHERE state = 'new' AND update_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(update_ids)),),
    )


@write
def mark_dead(connection: Connection, update_id: int, *, error: str) -> None:
    """The handler failed: keep the kind of error (never its text) and do not try again."""
    connection.execute(
        "UPDATE inbox SET state = 'dead', body = NULL, error = ? WHERE update_id = ?", (error, update_id)
    )


@read
def unfinished(connection: Connection) -> list[tuple[int, str, bool]]:
    """Ids and bodies of the accepted updates that nobody has handled yet, and whether they are to be handled alone;
    oldest first."""
    rows = connection.execute(
        "SELECT update_id, decrypted(body), attempts >= ? FROM inbox WHERE state = 'new'"
        " ORDER BY received_at, update_id",
        (SUSPICIOUS_ATTEMPTS,),
    )
    return [(update_id, body, bool(is_suspicious)) for update_id, body, is_suspicious in rows]


@write
def prune(connection: Connection, *, now: datetime) -> None:
    """Drop the ids of updates that Telegram can no longer send again."""
    connection.execute("DELETE FROM inbox WHERE state <> 'new' AND received_at < ?", (now - _IDS_KEPT,))


@read
def backlog(connection: Connection, *, now: datetime) -> tuple[int, float, int]:
    """How many updates wait, for how many seconds the oldest has, and how many are dead."""
    waiting, oldest, dead = connection.execute(
        "SELECT count(*) FILTER (WHERE state = 'new'), min(received_at) FILTER (WHERE state = 'new'),"
        " count(*) FILTER (WHERE state = 'dead') FROM inbox"
    ).fetchone()
    age = 0.0 if oldest is None else (now - datetime.fromisoformat(oldest)).total_seconds()
    return waiting, age, dead


@write
def check_writable(connection: Connection) -> None:
    """Write something small: whether the disk takes writes can only be found out by writing.

    Raises:
        DatabaseUnusable: it does not.
    """
    connection.execute("UPDATE pulse SET beats = beats + 1")
