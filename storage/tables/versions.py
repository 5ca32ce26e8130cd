"""Versions: which models exist, and which of them serve. The database is the only place that knows the champion."""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Trial, TrialEnd, Version, VersionState
from storage.tables import trials

_COLUMNS = "SELECT v.*, r.tainted_at FROM versions v LEFT JOIN runs r ON r.id = v.run"
_CLEAN = "v.destroyed_at IS NULL AND r.tainted_at IS NULL"


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


async def add(db: Database, version: Version) -> bool:
    """Record a version that a run has published; a second attempt of the same run changes nothing.

    False, and nothing recorded: its run is tainted.
    """

    def record(connection: sqlite3.Connection) -> bool:
        run = connection.execute("SELECT tainted_at FROM runs WHERE id = ?", (version.run,)).fetchone()
        if run is not None and run["tainted_at"] is not None:
            return False
        connection.execute(
            "INSERT INTO versions (name, base, run, state, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (version.name, version.base, version.run, version.state, version.created_at.isoformat()),
        )
        return True

    return await db.write(record)


async def crown(db: Database, name: str, *, at: datetime) -> None:
    """Make a version the champion of its base; the old champion and any canary retire.

    An open trial is broken off. A version that serves for the first time is watched: its trial against the old champion
    begins.
    """

    def change(connection: sqlite3.Connection) -> None:
        base, served_at = connection.execute("SELECT base, served_at FROM versions WHERE name = ?", (name,)).fetchone()
        before = _in_state(connection, base, "champion")
        trials.break_off(connection, base, at=at)
        crown_in(connection, name, at)
        if served_at is None and before is not None and name not in (base, before.name):
            trials.begin(connection, base=base, version=name, reference=before.name, way="watch", at=at)

    await db.write(change)


async def make_canary(db: Database, name: str, *, at: datetime) -> None:
    """Give a version a slice of the traffic, beside the champion; an earlier canary of the base retires."""

    def change(connection: sqlite3.Connection) -> None:
        (base,) = connection.execute("SELECT base FROM versions WHERE name = ?", (name,)).fetchone()
        champion = _in_state(connection, base, "champion")
        trials.break_off(connection, base, at=at)
        connection.execute("UPDATE versions SET state = 'retired' WHERE state = 'canary' AND base = ?", (base,))
        _set_state(connection, name, "canary", at)
        if champion is not None and champion.name != name:
            trials.begin(connection, base=base, version=name, reference=champion.name, way="canary", at=at)

    await db.write(change)


async def retire(db: Database, name: str, *, at: datetime) -> None:
    """Take a version out of service; its trial is broken off. The champion cannot be retired, only replaced."""

    def change(connection: sqlite3.Connection) -> None:
        retired = connection.execute(
            "UPDATE versions SET state = 'retired' WHERE name = ? AND state <> 'champion' RETURNING base", (name,)
        ).fetchone()
        trial = None if retired is None else trials.present_in(connection, retired["base"])
        if trial is not None and trial.version == name:
            trials.break_off(connection, retired["base"], at=at)

    await db.write(change)


async def settle(db: Database, base: str, ending: TrialEnd, *, at: datetime) -> bool:
    """End the trial of a base as the ratings say, and let serve who is to; False when it is not open any more."""

    def change(connection: sqlite3.Connection) -> bool:
        trial = trials.present_in(connection, base)
        if trial is None or trial.id != ending.trial:
            return False
        _change_service(connection, trial, ending, at)
        trials.end(connection, trial, ending, at=at)
        return True

    return await db.write(change)


async def discard(db: Database, name: str) -> None:
    """A version cannot serve any more: nobody goes back to it."""
    await db.write(
        lambda c: c.execute("UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (name,))
    )


async def in_state(db: Database, base: str, state: VersionState) -> Version | None:
    """The newest version of a base in a state."""
    return await db.read(lambda c: _in_state(c, base, state))


async def previous_champion(db: Database, base: str) -> Version | None:
    """The version that was champion before the present one, and that may be gone back to."""
    row = await db.read(
        lambda c: c.execute(
            f"{_COLUMNS} WHERE v.base = ? AND v.state = 'retired' AND v.served_at IS NOT NULL AND {_CLEAN}"
            " ORDER BY v.served_at DESC LIMIT 1",
            (base,),
        ).fetchone()
    )
    return None if row is None else _version(row)


async def by_name(db: Database, name: str) -> Version | None:
    """The version with this name."""
    row = await db.read(lambda c: c.execute(f"{_COLUMNS} WHERE v.name = ?", (name,)).fetchone())
    return None if row is None else _version(row)


async def of_base(db: Database, base: str) -> list[Version]:
    """Every version of a base, newest first."""
    return await db.read(lambda c: all_of(c, base))


def all_of(connection: sqlite3.Connection, base: str | None) -> list[Version]:
    """`of_base` as a part of a transaction; None: of every base."""
    rows = connection.execute(
        f"{_COLUMNS} WHERE v.base = coalesce(?, v.base) ORDER BY v.created_at DESC, v.name", (base,)
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
        f"{_COLUMNS} WHERE (v.state <> 'retired' OR v.served_at IS NOT NULL) AND {_CLEAN}"
        " ORDER BY v.created_at DESC, v.name"
    )
    return [_version(row) for row in rows]


def _change_service(connection: sqlite3.Connection, trial: Trial, ending: TrialEnd, at: datetime) -> None:
    champion = _in_state(connection, _base_of(connection, trial.version), "champion")
    if champion is None or champion.name != ending.serves:
        crown_in(connection, ending.serves, at)
    if ending.outcome in ("rolled_back", "inconclusive"):  # and nobody goes back to what people liked less
        connection.execute("UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (trial.version,))


def crown_in(connection: sqlite3.Connection, name: str, at: datetime) -> None:
    """Make a version the champion of its base, as a part of a transaction, and say nothing of trials."""
    connection.execute(
        "UPDATE versions SET state = 'retired' WHERE state IN ('champion', 'canary') AND base = ?",
        (_base_of(connection, name),),
    )
    _set_state(connection, name, "champion", at)


def _base_of(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute("SELECT base FROM versions WHERE name = ?", (name,)).fetchone()
    return str(row["base"])


def _in_state(connection: sqlite3.Connection, base: str, state: VersionState) -> Version | None:
    row = connection.execute(
        f"{_COLUMNS} WHERE v.base = ? AND v.state = ? ORDER BY v.created_at DESC LIMIT 1", (base, state)
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
        tainted_at=_moment(row["tainted_at"]),
        destroyed_at=_moment(row["destroyed_at"]),
    )


def _moment(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
