"""The audit: who did what with the bot, by pseudonym. It only grows; the schema refuses anything else.

Reports: texts that somebody found unfit. The first hides a text until an admin has looked. Knows pseudonyms.
"""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.db.records import AuditEntry, ModerationState


async def append_audit(db: Database, entry: AuditEntry) -> None:
    """Record a entry."""
    await db.write(lambda c: append_audit_in(c, entry))


def append_audit_in(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """`append` as a part of a transaction."""
    connection.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
        (entry.at.isoformat(), entry.actor, entry.action, entry.detail),
    )


async def latest_audit_entries(db: Database, *, limit: int) -> list[AuditEntry]:
    """The last deeds, newest first."""
    rows = await db.read(lambda c: c.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall())
    return [AuditEntry(datetime.fromisoformat(row["at"]), row["actor"], row["action"], row["detail"]) for row in rows]


async def record_report(db: Database, generation: int, reporter: str, *, at: datetime) -> bool:
    """File a report; the first hides the text, unless an admin has cleared it. False: the same person has filed it."""

    def file(connection: sqlite3.Connection) -> bool:
        filed = connection.execute(
            "INSERT INTO reports VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (generation, reporter, at.isoformat())
        )
        connection.execute(
            "UPDATE generations SET standing = 'reported' WHERE id = ? AND standing IS NULL", (generation,)
        )
        return filed.rowcount == 1

    return await db.write(file)


async def count_reports_since(db: Database, reporter: str, *, since: datetime) -> int:
    """How many texts a person has reported since a moment."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT count(*) FROM reports WHERE reporter = ? AND at >= ?", (reporter, since.isoformat())
        ).fetchone()
    )
    return int(row[0])


async def resolve_report(db: Database, generation: int, standing: ModerationState) -> bool:
    """What an admin has decided of a reported text; False where nobody has reported it."""
    return await db.write(
        lambda c: (
            c.execute(
                "UPDATE generations SET standing = ? WHERE id = ? AND standing IS NOT NULL", (standing, generation)
            ).rowcount
            == 1
        )
    )
