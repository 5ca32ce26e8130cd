"""Trials: a version beside, or after, the one before it, and how it ended. Knows ratings, not what they prove.

A base has one open trial at most. It begins and ends in the very transaction that changes who serves.

Versions: which models exist, and which of them serve. The database is the only place that knows the champion.

Taints: runs that have learned from somebody who is forgotten since, or shut out, and the versions that they made.

A tainted version is never gone back to; it leaves service, then its files are destroyed. Knows runs and versions. Knows
no file.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from storage.db.database import Database
from storage.db.records import AuditEntry, Trial, TrialMode, TrialRating, TrialResult, Version, VersionState
from storage.tables import moderation
from storage.tables.generations import agreed

_RATINGS_ACTOR = "ratings"
"""Who stands in the audit where nobody but the ratings has decided."""

_CONSENTED = f"""
    SELECT r.generation, r.rater, r.value, g.chat, g.author, p.first_seen_at
    FROM generations g JOIN ratings r ON r.generation = g.id JOIN people p ON p.person = r.rater
    WHERE g.version = :version AND g.created_at >= :since AND g.created_at < :before AND r.value IS NOT NULL
        AND {agreed("r.rater")}
    ORDER BY r.generation DESC, r.rater LIMIT :most
"""  # noqa: S608 - of our own


async def open_trial(db: Database, base: str) -> Trial | None:
    """The trial of a base that is under way."""
    return await db.read(lambda c: present_trial_in(c, base))


async def trial_ratings(
    db: Database, version: str, *, since: datetime, before: datetime, most: int
) -> list[TrialRating]:
    """Consented ratings of the texts that were asked for from `since` until `before`, newest texts first."""
    values = {"version": version, "since": since.isoformat(), "before": before.isoformat(), "most": most}
    rows = await db.read(lambda c: c.execute(_CONSENTED, values).fetchall())
    return [
        TrialRating(
            generation=row["generation"],
            rater=row["rater"],
            chat=row["chat"],
            value=row["value"],
            is_own=row["author"] == row["rater"],
            rater_first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
        )
        for row in rows
    ]


async def unannounced_trials(db: Database) -> list[Trial]:
    """Trials that the ratings have ended and nobody has been told of, oldest first."""
    rows = await db.read(
        lambda c: c.execute("SELECT * FROM trials WHERE outcome IS NOT NULL AND NOT is_told ORDER BY id").fetchall()
    )
    return [_trial(row) for row in rows]


async def mark_trial_announced(db: Database, trial: int) -> None:
    """The admins have been told how a trial ended."""
    await db.write(lambda c: c.execute("UPDATE trials SET is_told = 1 WHERE id = ?", (trial,)))


def present_trial_in(connection: sqlite3.Connection, base: str) -> Trial | None:
    """`present` as a part of a transaction."""
    row = connection.execute("SELECT * FROM trials WHERE base = ? AND outcome IS NULL", (base,)).fetchone()
    return None if row is None else _trial(row)


def begin_trial(
    connection: sqlite3.Connection, *, base: str, version: str, reference: str, mode: TrialMode, at: datetime
) -> None:
    """Open a trial, as a part of a transaction; none may be open."""
    connection.execute(
        "INSERT INTO trials (base, version, reference, way, began_at) VALUES (?, ?, ?, ?, ?)",
        (base, version, reference, mode, at.isoformat()),
    )


def cancel_trial(connection: sqlite3.Connection, base: str, *, at: datetime) -> None:
    """End an open trial without a finding, as a part of a transaction: a person, or a newer version, has decided."""
    connection.execute(
        "UPDATE trials SET outcome = 'broken_off', is_told = 1, ended_at = ? WHERE base = ? AND outcome IS NULL",
        (at.isoformat(), base),
    )


def end_trial(connection: sqlite3.Connection, trial: Trial, ending: TrialResult, *, at: datetime) -> None:
    """End a trial by what the ratings say, as a part of a transaction, on its run and in the audit as well."""
    connection.execute(
        "UPDATE trials SET outcome = ?, serves = ?, numbers = ?, ended_at = ? WHERE id = ?",
        (ending.outcome, ending.champion, json.dumps(ending.numbers), at.isoformat(), trial.id),
    )
    moderation.append_audit_in(connection, AuditEntry(at, _RATINGS_ACTOR, ending.outcome, trial.version))
    if ending.verdict is not None:
        connection.execute(
            "UPDATE runs SET verdict = ?, reason = ?, version = ?, numbers = json_patch(numbers, ?)"
            " WHERE state = 'ended' AND id = (SELECT run FROM versions WHERE name = ?)",
            (ending.verdict, ending.reason, ending.champion, json.dumps(ending.numbers), trial.version),
        )


def _trial(row: sqlite3.Row) -> Trial:
    return Trial(
        id=row["id"],
        version=row["version"],
        reference=row["reference"],
        mode=row["way"],
        began_at=datetime.fromisoformat(row["began_at"]),
        outcome=row["outcome"],
        champion=row["serves"],
        numbers=json.loads(row["numbers"]),
    )


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


async def promote(db: Database, name: str, *, at: datetime) -> None:
    """Make a version the champion of its base; the old champion and any canary retire.

    An open trial is broken off. A version that serves for the first time is watched: its trial against the old champion
    begins.
    """

    def change(connection: sqlite3.Connection) -> None:
        base, served_at = connection.execute("SELECT base, served_at FROM versions WHERE name = ?", (name,)).fetchone()
        before = _in_state(connection, base, "champion")
        cancel_trial(connection, base, at=at)
        promote_in(connection, name, at)
        if served_at is None and before is not None and name not in (base, before.name):
            begin_trial(connection, base=base, version=name, reference=before.name, mode="watch", at=at)

    await db.write(change)


async def make_canary(db: Database, name: str, *, at: datetime) -> None:
    """Give a version a slice of the traffic, beside the champion; an earlier canary of the base retires."""

    def change(connection: sqlite3.Connection) -> None:
        (base,) = connection.execute("SELECT base FROM versions WHERE name = ?", (name,)).fetchone()
        champion = _in_state(connection, base, "champion")
        cancel_trial(connection, base, at=at)
        connection.execute("UPDATE versions SET state = 'retired' WHERE state = 'canary' AND base = ?", (base,))
        _set_state(connection, name, "canary", at)
        if champion is not None and champion.name != name:
            begin_trial(connection, base=base, version=name, reference=champion.name, mode="canary", at=at)

    await db.write(change)


async def retire(db: Database, name: str, *, at: datetime) -> None:
    """Take a version out of service; its trial is broken off. The champion cannot be retired, only replaced."""

    def change(connection: sqlite3.Connection) -> None:
        retired = connection.execute(
            "UPDATE versions SET state = 'retired' WHERE name = ? AND state <> 'champion' RETURNING base", (name,)
        ).fetchone()
        trial = None if retired is None else present_trial_in(connection, retired["base"])
        if trial is not None and trial.version == name:
            cancel_trial(connection, retired["base"], at=at)

    await db.write(change)


async def finish_trial(db: Database, base: str, ending: TrialResult, *, at: datetime) -> bool:
    """End the trial of a base as the ratings say, and let serve who is to; False when it is not open any more."""

    def change(connection: sqlite3.Connection) -> bool:
        trial = present_trial_in(connection, base)
        if trial is None or trial.id != ending.trial:
            return False
        _change_service(connection, trial, ending, at)
        end_trial(connection, trial, ending, at=at)
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


def latest_champion(connection: sqlite3.Connection) -> str | None:
    """The champion that was promoted last, of whatever base."""
    row = connection.execute(
        "SELECT name FROM versions WHERE state = 'champion' ORDER BY served_at DESC LIMIT 1"
    ).fetchone()
    return None if row is None else str(row["name"])


def all_names(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of all versions there have been."""
    return frozenset(row["name"] for row in connection.execute("SELECT name FROM versions"))


def servable(connection: sqlite3.Connection) -> list[Version]:
    """Versions that serve, wait for it, or can be gone back to, newest first."""
    rows = connection.execute(
        f"{_COLUMNS} WHERE (v.state <> 'retired' OR v.served_at IS NOT NULL) AND {_CLEAN}"
        " ORDER BY v.created_at DESC, v.name"
    )
    return [_version(row) for row in rows]


def _change_service(connection: sqlite3.Connection, trial: Trial, ending: TrialResult, at: datetime) -> None:
    champion = _in_state(connection, _base_of(connection, trial.version), "champion")
    if champion is None or champion.name != ending.champion:
        promote_in(connection, ending.champion, at)
    if ending.outcome in ("rolled_back", "inconclusive"):  # and nobody goes back to what people liked less
        connection.execute("UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (trial.version,))


def promote_in(connection: sqlite3.Connection, name: str, at: datetime) -> None:
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


_ERASURE_ACTOR = "forgetting"
"""Who stands in the audit where a version left because somebody is forgotten or shut out."""

TAUGHT_BY = """
    SELECT DISTINCT l.run FROM lineage l JOIN generations g ON g.id = l.generation
    WHERE l.rater = :person OR g.author = :person
"""
"""The runs that have learned from a person, or from what others said to their texts."""


def taint(connection: sqlite3.Connection, runs: Iterable[int], *, at: datetime) -> None:
    """Taint runs, as a part of a transaction; a first taint's date stands."""
    connection.execute(
        "UPDATE runs SET tainted_at = coalesce(tainted_at, ?) WHERE id IN (SELECT value FROM json_each(?))",
        (at.isoformat(), json.dumps(list(runs))),
    )


def taint_taught_by(connection: sqlite3.Connection, person: str, *, at: datetime) -> None:
    """Taint the runs that have learned from a person, or from what others said to their texts."""
    taint(connection, [run for (run,) in connection.execute(TAUGHT_BY, {"person": person})], at=at)


async def tainted_serving(db: Database, base: str) -> list[Version]:
    """The tainted versions of a base that serve."""
    return [v for v in await of_base(db, base) if v.tainted_at and v.state in ("champion", "canary")]


async def retire_tainted(db: Database, base: str, *, successor: str, at: datetime) -> None:
    """Take the tainted versions of a base out of service, in one transaction; `successor` is champion where one was."""

    def change(connection: sqlite3.Connection) -> None:
        tainted = [version for version in all_of(connection, base) if version.tainted_at]
        for version in tainted:
            if version.state not in ("champion", "canary"):
                continue
            cancel_trial(connection, base, at=at)
            if version.state == "champion":
                promote_in(connection, successor, at)
            connection.execute(
                "UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (version.name,)
            )
            moderation.append_audit_in(connection, AuditEntry(at, _ERASURE_ACTOR, "took out of service", version.name))

    await db.write(change)


async def to_destroy(db: Database, *, old_before: datetime) -> list[Version]:
    """Versions of every base whose files are to go: out of service, and tainted or made before a moment."""
    found = await db.read(lambda c: all_of(c, None))
    return [
        version
        for version in found
        if version.run is not None
        and version.destroyed_at is None
        and version.state in ("candidate", "retired")
        and (version.tainted_at is not None or version.created_at < old_before)
    ]


async def mark_destroyed(db: Database, name: str, *, at: datetime) -> None:
    """A version's files are gone."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE versions SET destroyed_at = ?, state = 'retired', served_at = NULL WHERE name = ?",
            (at.isoformat(), name),
        )
        moderation.append_audit_in(connection, AuditEntry(at, _ERASURE_ACTOR, "destroyed", name))

    await db.write(change)
