"""Who did what with the bot (the audit), who is banned, and which texts somebody found unfit."""

from datetime import datetime
from sqlite3 import Connection

from storage.db.database import count, read, records, write
from storage.db.errors import LimitReached
from storage.db.records import AuditEntry, ModerationState
from storage.tables import runs
from storage.tables.people import CLOCK_STEP, HOUR


@write
def append_audit(connection: Connection, entry: AuditEntry) -> None:
    """Record what somebody did. The audit only grows; the schema refuses anything else."""
    connection.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
        (entry.at, entry.actor, entry.action, entry.detail),
    )


@read
def latest_audit_entries(connection: Connection, *, limit: int) -> list[AuditEntry]:
    """The last entries, newest first."""
    return records(AuditEntry, connection.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)))


@write
def ban(connection: Connection, person: str, *, at: datetime) -> bool:
    """Ban a person, and taint what has learned from them; False when they were banned already."""
    runs.taint_trained_on(connection, person, at=at)
    return connection.execute("INSERT INTO bans VALUES (?, ?) ON CONFLICT DO NOTHING", (person, at)).rowcount == 1


@write
def unban(connection: Connection, person: str) -> bool:
    """Let a person in again; False when they were not banned."""
    return connection.execute("DELETE FROM bans WHERE person = ?", (person,)).rowcount == 1


@read
def banned(connection: Connection) -> frozenset[str]:
    """Everybody who is banned."""
    return frozenset(person for (person,) in connection.execute("SELECT person FROM bans"))


@write
def record_report(connection: Connection, generation: int, reporter: str, *, at: datetime, per_hour: int = 0) -> bool:
    """File a report; the first hides the text until an admin has looked, unless one has cleared it before.

    False: the same person has filed it.

    Raises:
        LimitReached: the person has reported `per_hour` other texts within the hour; 0 is no limit.
    """
    query = "INSERT INTO reports VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    filed = connection.execute(query, (generation, reporter, at))
    if per_hour and filed.rowcount == 1 and count_reports_within_hour(connection, reporter, at) > per_hour:
        raise LimitReached
    connection.execute("UPDATE generations SET standing = 'reported' WHERE id = ? AND standing IS NULL", (generation,))
    return filed.rowcount == 1


@read
def count_reports_within_hour(connection: Connection, reporter: str, now: datetime) -> int:
    """How many texts a person has reported within the hour."""
    query = "SELECT count(*) FROM reports WHERE reporter = ? AND at BETWEEN ? AND ?"
    return count(connection.execute(query, (reporter, now - HOUR, now + CLOCK_STEP)))


@write
def resolve_report(connection: Connection, generation: int, state: ModerationState) -> bool:
    """What an admin has decided of a reported text; False where nobody has reported it."""
    resolved = connection.execute(
        "UPDATE generations SET standing = ? WHERE id = ? AND standing IS NOT NULL", (state, generation)
    )
    return resolved.rowcount == 1
