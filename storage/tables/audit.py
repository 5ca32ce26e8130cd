"""The audit: who did what with the bot, by pseudonym. It only grows; the schema refuses anything else."""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Deed


async def append(db: Database, deed: Deed) -> None:
    """Record a deed."""
    await db.write(lambda c: append_in(c, deed))


def append_in(connection: sqlite3.Connection, deed: Deed) -> None:
    """`append` as a part of a transaction."""
    connection.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
        (deed.at.isoformat(), deed.actor, deed.action, deed.detail),
    )


async def newest(db: Database, *, limit: int) -> list[Deed]:
    """The last deeds, newest first."""
    rows = await db.read(lambda c: c.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall())
    return [Deed(datetime.fromisoformat(row["at"]), row["actor"], row["action"], row["detail"]) for row in rows]
