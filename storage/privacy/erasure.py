"""Updates that wait in the inbox and name somebody who is forgotten. Whom a body names is asked of the caller.

Knows bodies and pseudonyms, not how one is found in the other.

Erasure: all that a person wrote, rated, chose or agreed to, and every text that quotes them, goes at once.

What descends from an erased text goes too, whoever asked for it, because its conversation repeats the erased words.
Bans stay. The same erasure is repeated on backups from the tombstones (`replay`). Deleting rows is not enough to get
the words off the disk: SQLite leaves copies in its pages and its log, so `vacuum` rewrites the file. Knows pseudonyms;
whom an update names is asked of the caller, who holds the key.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.db.database import Database
from storage.db.errors import DatabaseUnusable
from storage.privacy.tombstones import Tombstone
from storage.tables import generations, versions

NamedIn = Callable[[str], Collection[str]]
"""The pseudonyms of everybody whom an update's body, encrypted as it lies there, names."""


def updates_naming(
    connection: sqlite3.Connection, forgotten: Mapping[str, datetime], names: NamedIn | None, *, but: int | None = None
) -> list[int]:
    """Updates with a body that came up to the moment of one whom they name, `but` excepted.

    Without `names` every update counts as naming everybody.
    """
    waiting = connection.execute("SELECT update_id, received_at, body FROM inbox WHERE body IS NOT NULL").fetchall()
    found = []
    for update_id, received_at, body in waiting:
        named = forgotten.keys() if names is None else forgotten.keys() & set(names(body))
        if update_id != but and any(datetime.fromisoformat(received_at) <= forgotten[person] for person in named):
            found.append(update_id)
    return found


def drop_updates_naming(
    connection: sqlite3.Connection, forgotten: Mapping[str, datetime], names: NamedIn | None, *, but: int | None = None
) -> int:
    """Count what `find` finds as handled and drop the bodies; returns how many."""
    found = updates_naming(connection, forgotten, names, but=but)
    connection.executemany(
        "UPDATE inbox SET state = 'done', body = NULL WHERE update_id = ?", [(update_id,) for update_id in found]
    )
    return len(found)


_TRACES = """
    SELECT min(at), max(at) FROM (
        SELECT first_seen_at AS at FROM people WHERE person = :person
        UNION ALL SELECT granted_at FROM consents WHERE person = :person
        UNION ALL SELECT created_at FROM generations WHERE author = :person
        UNION ALL SELECT at FROM ratings WHERE rater = :person
        UNION ALL SELECT at FROM rating_events WHERE rater = :person
        UNION ALL SELECT at FROM early_reactions WHERE rater = :person
        UNION ALL SELECT at FROM reasons WHERE rater = :person
        UNION ALL SELECT at FROM doings WHERE person = :person
        UNION ALL SELECT at FROM preferences WHERE person = :person
        UNION ALL SELECT at FROM reports WHERE reporter = :person
        UNION ALL SELECT at FROM homes WHERE person = :person
    )
"""
_LEARNED = """
    FROM lineage WHERE generation IN (SELECT value FROM json_each(:texts))
    OR (rater = :person AND run IN (SELECT id FROM runs WHERE started_at <= :limit))
"""
_RATINGS = "generation IN (SELECT value FROM json_each(:texts)) OR (rater = :person AND at <= :limit)"
_SIGNALS = "generation IN (SELECT value FROM json_each(:texts)) OR (person = :person AND at <= :limit)"

_PLACEHOLDERS = """
    SELECT d.chat_id, d.message_id FROM deliveries d JOIN generations g ON g.id = d.generation
    WHERE g.id IN (SELECT value FROM json_each(:texts)) AND g.state IN ('accepted', 'placed', 'written')
        AND d.message_id IS NOT NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure took away."""

    generations: tuple[int, ...] = ()
    """Texts, by number: the person's own and those that descend from them."""
    placeholders: tuple[tuple[int, int], ...] = ()
    """(chat id, message id) of the messages in which a text was still to come."""
    ratings: int = 0
    """Verdicts: theirs on any text, and anybody's on these."""
    consents: int = 0
    updates: int = 0
    """Updates that nobody had handled yet."""
    runs: tuple[int, ...] = ()
    """The runs that had learned from any of it."""

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(
            generations=self.generations + other.generations,
            placeholders=self.placeholders + other.placeholders,
            ratings=self.ratings + other.ratings,
            consents=self.consents + other.consents,
            updates=self.updates + other.updates,
            runs=tuple(sorted({*self.runs, *other.runs})),
        )


def erase(connection: sqlite3.Connection, person: str, *, before: datetime) -> Erased:
    """Delete what there is of a person up to and including a moment, as a part of a transaction.

    A second time it finds nothing.
    """
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    values: dict[str, str] = {"person": person, "limit": before.astimezone(UTC).isoformat()}
    texts = _texts_of(connection, values)
    values["texts"] = json.dumps(texts)

    def delete(statement: str) -> int:
        return connection.execute(f"DELETE {statement}", values).rowcount

    runs = _learned(connection, values)
    versions.taint(connection, runs, at=before)
    erased = Erased(
        placeholders=tuple((chat, message) for chat, message in connection.execute(_PLACEHOLDERS, values)),
        runs=runs,
        generations=texts,
        ratings=delete(f"FROM ratings WHERE {_RATINGS}"),
        consents=delete("FROM consents WHERE person = :person AND granted_at <= :limit"),
    )
    delete(f"FROM rating_events WHERE {_RATINGS}")
    delete(f"FROM reasons WHERE {_RATINGS}")
    delete(f"FROM choices WHERE {_RATINGS}")
    delete(f"FROM signals WHERE {_SIGNALS}")
    delete("FROM reports WHERE reporter = :person AND at <= :limit")
    delete("FROM preferences WHERE person = :person AND at <= :limit")
    delete("FROM homes WHERE person = :person AND at <= :limit")
    delete("FROM early_reactions WHERE rater = :person AND at <= :limit")
    delete(_LEARNED)
    generations.delete_texts(connection, texts)
    delete("FROM people WHERE person = :person AND first_seen_at <= :limit")
    _meet_again(connection, person)
    return erased


def replay(connection: sqlite3.Connection, tombstones: Iterable[Tombstone], names: NamedIn | None) -> Erased:
    """Erase for each tombstone what is older than it, and the updates that wait and name such a person.

    Without `names` nobody can tell whom an update names, so every one that is older than a tombstone goes.
    """
    latest = _latest(tombstones)
    erased = Erased()
    for person, at in latest.items():
        erased += erase(connection, person, before=at)
    return erased + Erased(updates=drop_updates_naming(connection, latest, names))


def would_erase(connection: sqlite3.Connection, tombstones: Iterable[Tombstone], names: NamedIn | None) -> bool:
    """Whether `replay` would find anything; reads only."""
    latest = _latest(tombstones)
    for person, at in latest.items():
        span = _traces(connection, person)
        if span is not None and span[0] <= at:
            return True
    return bool(updates_naming(connection, latest, names))


async def cutoff(db: Database, person: str, now: datetime) -> datetime:
    """The moment up to which all that there is of a person now was made: now, or the latest date on any of it.

    Reactions carry Telegram's dates, which may be ahead of our clock.
    """
    span = await db.read(lambda c: _traces(c, person))
    return now if span is None else max(now, span[1])


async def runs_trained_on(db: Database, person: str, at: datetime) -> tuple[int, ...]:
    """The runs that learned from what an erasure would take away."""
    values = {"person": person, "limit": at.astimezone(UTC).isoformat()}
    return await db.read(lambda c: _learned(c, values | {"texts": json.dumps(_texts_of(c, values))}))


async def forget(db: Database, person: str, at: datetime, *, names: NamedIn, handling: int | None = None) -> Erased:
    """Erase a person, whose tombstone is on disk already, from the live database, and their key from the keyring.

    The update that is being handled (`handling`) stays, so that after a crash somebody still gets an answer.
    """

    def everything(connection: sqlite3.Connection) -> Erased:
        erased = erase(connection, person, before=at)
        updates = drop_updates_naming(connection, {person: at}, names, but=handling)
        if db.keyring is not None:
            db.keyring.erase(person)  # last: a crash before the commit leaves rows that nobody can read any more
        return erased + Erased(updates=updates)

    return await db.write(everything)


async def vacuum(db: Database) -> bool:
    """Rewrite the file without the remains of what was deleted, and empty its log.

    False: somebody was reading, so the log still holds what it held; try again later.

    Raises:
        DatabaseUnusable: there is no room to rewrite the file; nothing has changed.
    """
    try:
        return await db.read(rewrite)
    except sqlite3.OperationalError as error:
        raise DatabaseUnusable(f"Erased rows cannot be overwritten ({error}): free some disk space.") from error


def rewrite(connection: sqlite3.Connection) -> bool:
    """`vacuum` for a connection of one's own."""
    # secure_delete is not enough: SQLite leaves copies of cells that it moved while it balanced pages (3.40, tried).
    connection.execute("VACUUM")
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def _learned(connection: sqlite3.Connection, values: dict[str, str]) -> tuple[int, ...]:
    return tuple(sorted(run for (run,) in connection.execute(f"SELECT DISTINCT run {_LEARNED}", values)))


def _texts_of(connection: sqlite3.Connection, values: dict[str, str]) -> tuple[int, ...]:
    """The person's texts and all that descend from them, youngest first."""
    own = connection.execute("SELECT id FROM generations WHERE author = :person AND created_at <= :limit", values)
    texts = {number for (number,) in own}
    if texts:
        children = connection.execute("SELECT id, parent FROM generations WHERE parent IS NOT NULL ORDER BY id")
        for number, parent in children:  # a parent has a lower number than its children
            if parent in texts:
                texts.add(number)
    return tuple(sorted(texts, reverse=True))


def _meet_again(connection: sqlite3.Connection, person: str) -> None:
    """A person who came back after the moment is new: first seen with the oldest of what stays."""
    span = _traces(connection, person)
    if span is not None:
        connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (person, span[0].isoformat()))


def _traces(connection: sqlite3.Connection, person: str) -> tuple[datetime, datetime] | None:
    """From when to when there is something of a person."""
    first, last = connection.execute(_TRACES, {"person": person}).fetchone()
    return None if first is None else (datetime.fromisoformat(first), datetime.fromisoformat(last))


def _latest(tombstones: Iterable[Tombstone]) -> dict[str, datetime]:
    latest: dict[str, datetime] = {}
    for tombstone in tombstones:
        latest[tombstone.person] = max(tombstone.at, latest.get(tombstone.person, tombstone.at))
    return latest
