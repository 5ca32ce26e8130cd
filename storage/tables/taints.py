"""Taints: runs that have learned from somebody who is forgotten since, or shut out, and the versions that they made.

A tainted version is never gone back to; it leaves service, then its files are destroyed. Knows runs and versions. Knows
no file.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Deed, Version
from storage.tables import audit, trials, versions

_ACTOR = "forgetting"
"""Who stands in the audit where a version left because somebody is forgotten or shut out."""

TAUGHT_BY = """
    SELECT DISTINCT l.run FROM lineage l JOIN generations g ON g.id = l.generation
    WHERE l.rater = :person OR g.author = :person
"""
"""The runs that have learned from a person, or from what others said to their texts."""


def mark(connection: sqlite3.Connection, runs: Iterable[int], *, at: datetime) -> None:
    """Taint runs, as a part of a transaction; a first taint's date stands."""
    connection.execute(
        "UPDATE runs SET tainted_at = coalesce(tainted_at, ?) WHERE id IN (SELECT value FROM json_each(?))",
        (at.isoformat(), json.dumps(list(runs))),
    )


def mark_taught_by(connection: sqlite3.Connection, person: str, *, at: datetime) -> None:
    """Taint the runs that have learned from a person, or from what others said to their texts."""
    mark(connection, [run for (run,) in connection.execute(TAUGHT_BY, {"person": person})], at=at)


async def serving(db: Database, base: str) -> list[Version]:
    """The tainted versions of a base that serve."""
    return [v for v in await versions.of_base(db, base) if v.tainted_at and v.state in ("champion", "canary")]


async def leave(db: Database, base: str, *, follows: str, at: datetime) -> None:
    """Take the tainted versions of a base out of service, in one transaction; `follows` is champion where one was."""

    def change(connection: sqlite3.Connection) -> None:
        tainted = [version for version in versions.all_of(connection, base) if version.tainted_at]
        for version in tainted:
            if version.state not in ("champion", "canary"):
                continue
            trials.break_off(connection, base, at=at)
            if version.state == "champion":
                versions.crown_in(connection, follows, at)
            connection.execute(
                "UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (version.name,)
            )
            audit.append_in(connection, Deed(at, _ACTOR, "took out of service", version.name))

    await db.write(change)


async def to_destroy(db: Database, *, old_before: datetime) -> list[Version]:
    """Versions of every base whose files are to go: out of service, and tainted or made before a moment."""
    found = await db.read(lambda c: versions.all_of(c, None))
    return [
        version
        for version in found
        if version.run is not None
        and version.destroyed_at is None
        and version.state in ("candidate", "retired")
        and (version.tainted_at is not None or version.created_at < old_before)
    ]


async def destroyed(db: Database, name: str, *, at: datetime) -> None:
    """A version's files are gone."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE versions SET destroyed_at = ?, state = 'retired', served_at = NULL WHERE name = ?",
            (at.isoformat(), name),
        )
        audit.append_in(connection, Deed(at, _ACTOR, "destroyed", name))

    await db.write(change)
