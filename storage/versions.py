"""Versions: which models exist, and which of them serve. The database is the only place that knows the champion."""

import sqlite3
from datetime import datetime

from storage.database import Database
from storage.records import Version, VersionState


async def register_base(db: Database, base: str, *, at: datetime) -> None:
    """Make sure the base stands as a version, and that some version of it is the champion."""

    def ensure(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO versions (name, base, state, created_at) VALUES (?, ?, 'retired', ?) ON CONFLICT DO NOTHING",
            (base, base, at.isoformat()),
        )
        if _in_state(connection, base, "champion") is None:
            _set_state(connection, base, "champion", at)

    await db.write(ensure)


async def add(db: Database, version: Version) -> None:
    """Record a version that a run has published; a second attempt of the same run changes nothing."""
    await db.write(
        lambda c: c.execute(
            "INSERT INTO versions (name, base, run, state, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (version.name, version.base, version.run, version.state, version.created_at.isoformat()),
        )
    )


async def crown(db: Database, name: str, *, at: datetime) -> None:
    """Make a version the champion of its base; the old champion and any canary retire."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE versions SET state = 'retired' WHERE state IN ('champion', 'canary')"
            " AND base = (SELECT base FROM versions WHERE name = ?)",
            (name,),
        )
        _set_state(connection, name, "champion", at)

    await db.write(change)


async def make_canary(db: Database, name: str, *, at: datetime) -> None:
    """Give a version a slice of the traffic; an earlier canary of the base retires."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE versions SET state = 'retired' WHERE state = 'canary'"
            " AND base = (SELECT base FROM versions WHERE name = ?)",
            (name,),
        )
        _set_state(connection, name, "canary", at)

    await db.write(change)


async def retire(db: Database, name: str) -> None:
    """Take a version out of service. The champion cannot be retired, only replaced."""
    await db.write(
        lambda c: c.execute("UPDATE versions SET state = 'retired' WHERE name = ? AND state <> 'champion'", (name,))
    )


async def discard(db: Database, name: str) -> None:
    """A version cannot serve any more: nobody goes back to it."""
    await db.write(
        lambda c: c.execute("UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (name,))
    )


async def in_state(db: Database, base: str, state: VersionState) -> Version | None:
    """The newest version of a base in a state."""
    return await db.read(lambda c: _in_state(c, base, state))


async def previous_champion(db: Database, base: str) -> Version | None:
    """The version that was champion before the present one."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT * FROM versions WHERE base = ? AND state = 'retired' AND served_at IS NOT NULL"
            " ORDER BY served_at DESC LIMIT 1",
            (base,),
        ).fetchone()
    )
    return None if row is None else _version(row)


async def by_name(db: Database, name: str) -> Version | None:
    """The version with this name."""
    row = await db.read(lambda c: c.execute("SELECT * FROM versions WHERE name = ?", (name,)).fetchone())
    return None if row is None else _version(row)


async def of_base(db: Database, base: str) -> list[Version]:
    """Every version of a base, newest first."""
    rows = await db.read(
        lambda c: c.execute("SELECT * FROM versions WHERE base = ? ORDER BY created_at DESC", (base,)).fetchall()
    )
    return [_version(row) for row in rows]


def any_champion(connection: sqlite3.Connection) -> str | None:
    """The champion that was crowned last, of whatever base."""
    row = connection.execute(
        "SELECT name FROM versions WHERE state = 'champion' ORDER BY served_at DESC LIMIT 1"
    ).fetchone()
    return None if row is None else str(row["name"])


def names(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of all versions there have been."""
    return frozenset(row["name"] for row in connection.execute("SELECT name FROM versions"))


def may_serve(connection: sqlite3.Connection) -> list[Version]:
    """Versions that serve, wait for it, or can be gone back to, newest first."""
    rows = connection.execute(
        "SELECT * FROM versions WHERE state <> 'retired' OR served_at IS NOT NULL ORDER BY created_at DESC, name"
    )
    return [_version(row) for row in rows]


def _in_state(connection: sqlite3.Connection, base: str, state: VersionState) -> Version | None:
    row = connection.execute(
        "SELECT * FROM versions WHERE base = ? AND state = ? ORDER BY created_at DESC LIMIT 1", (base, state)
    ).fetchone()
    return None if row is None else _version(row)


def _set_state(connection: sqlite3.Connection, name: str, state: VersionState, at: datetime) -> None:
    # Only a champion's date is kept: /rollback goes to the version that was champion last.
    served_at = at.isoformat() if state == "champion" else None
    connection.execute(
        "UPDATE versions SET state = ?, served_at = coalesce(?, served_at) WHERE name = ?",
        (state, served_at, name),
    )


def _version(row: sqlite3.Row) -> Version:
    return Version(
        name=row["name"],
        base=row["base"],
        run=row["run"],
        state=row["state"],
        created_at=datetime.fromisoformat(row["created_at"]),
    )
