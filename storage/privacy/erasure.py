"""Erasure: all that a person wrote, rated, chose or agreed to, and every text that quotes them, goes at once.

What descends from an erased text goes too, whoever asked for it, because its conversation repeats the erased words.
Bans stay. A tombstone is written before anything is erased, and the same erasure is repeated on backups from the
tombstones (`replay`). Deleting rows is not enough to get the words off the disk: SQLite leaves copies in its pages and
its log, so `vacuum` rewrites the file.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, OperationalError

from storage.db.database import Database, read, write
from storage.db.errors import DatabaseUnusable
from storage.privacy import tombstones
from storage.privacy.tombstones import Tombstone
from storage.tables import generations, people, runs

NamedIn = Callable[[str], Collection[str]]
"""The pseudonyms of everybody whom an update's body, encrypted as it lies in the inbox, names."""

PERSONAL = {
    "people": ("person", "first_seen_at"),
    "consents": ("person", "granted_at"),
    "preferences": ("person", "at"),
    "homes": ("person", "at"),
    "ratings": ("rater", "at"),
    "rating_events": ("rater", "at"),
    "early_reactions": ("rater", "at"),
    "reasons": ("rater", "at"),
    "choices": ("rater", "at"),
    "signals": ("person", "at"),
    "reports": ("reporter", "at"),
}
"""The tables with something of a person, texts and what was learned from them aside: the columns of whose it is, and of
when."""

_SPAN = f"""
    SELECT min(at), max(at) FROM (
        SELECT created_at AS at FROM generations WHERE author = :person UNION ALL
        {" UNION ALL ".join(f"SELECT {at} FROM {table} WHERE {who} = :person" for table, (who, at) in PERSONAL.items())}
    )
"""  # noqa: S608 - of our own
_LINEAGE = """
    lineage WHERE generation IN (SELECT value FROM json_each(:texts))
        OR (rater = :person AND run IN (SELECT id FROM runs WHERE started_at <= :limit))
"""
_PLACEHOLDERS = """
    SELECT m.chat_id, m.message_id FROM shown_in m JOIN generations g ON g.id = m.generation
    WHERE g.id IN (SELECT value FROM json_each(:texts)) AND g.state IN ('accepted', 'placed', 'written')
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
        both = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        return Erased(**both | {"runs": tuple(sorted(set(both["runs"])))})


async def request(db: Database, file: Path, person: str) -> Tombstone:
    """Write down that a person is to be erased, with all that there is of them now.

    Raises:
        TombstonesUnusable: the file cannot be written; nothing may be erased then.
    """
    tombstone = Tombstone(person, await cutoff(db, person, datetime.now(UTC)))
    await asyncio.to_thread(tombstones.append, file, tombstone)
    return tombstone


async def carry_out(
    db: Database,
    file: Path,
    tombstone: Tombstone,
    *,
    named_in: NamedIn,
    strip: Callable[[Collection[int]], Awaitable[None]],
    then: Callable[[Erased], Awaitable[None]] | None = None,
) -> Erased:
    """Erase what a tombstone names, and mark it as done once `then` has followed.

    `strip` takes people's words out of the folders of runs.

    Raises:
        StorageError: it is not done; a later try goes on.
    """
    # Before the rows go: afterwards, or after a crash between the two, nobody knows which runs they were.
    await strip(await runs_trained_on(db, tombstone.person, tombstone.at))
    erased = await forget(db, tombstone.person, tombstone.at, named_in=named_in)
    if then is not None:
        await then(erased)
    await asyncio.to_thread(tombstones.append, file, replace(tombstone, is_done=True))
    return erased


async def forget(db: Database, person: str, at: datetime, *, named_in: NamedIn) -> Erased:
    """Erase a person, whose tombstone is on disk already, from the live database, and their key from the keyring."""

    def everything(connection: Connection) -> Erased:
        erased = erase(connection, person, before=at)
        updates = _drop_updates(connection, {person: at}, named_in)
        if db.keyring is not None:
            db.keyring.erase(person)  # last: a crash before the commit leaves rows that nobody can read any more
        return erased + Erased(updates=updates)

    return await db.write(everything)


@write
def erase(connection: Connection, person: str, *, before: datetime) -> Erased:
    """Delete what there is of a person up to and including a moment. A second time it finds nothing."""
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    values = _values(connection, person, before)
    texts: tuple[int, ...] = tuple(json.loads(values["texts"]))

    def delete(rows: str) -> int:
        return connection.execute(f"DELETE FROM {rows}", values).rowcount  # noqa: S608 - of our own

    learned = _trained_on(connection, values)
    runs.taint(connection, learned, at=before)
    placeholders = tuple((chat, message) for chat, message in connection.execute(_PLACEHOLDERS, values))
    on_texts = delete("ratings WHERE generation IN (SELECT value FROM json_each(:texts))")
    deleted = {t: delete(f"{t} WHERE {who} = :person AND {at} <= :limit") for t, (who, at) in PERSONAL.items()}
    delete(_LINEAGE)
    generations.delete(connection, texts)
    if (span := _span(connection, person)) is not None:
        people.see(connection, person, at=span[0])  # who came back after the moment is new
    rated, consents = on_texts + deleted["ratings"], deleted["consents"]
    return Erased(generations=texts, placeholders=placeholders, ratings=rated, consents=consents, runs=learned)


@write
def replay(connection: Connection, stones: Iterable[Tombstone], named_in: NamedIn | None) -> Erased:
    """Erase for each tombstone what is older than it, and the updates that wait and name such a person.

    Without `named_in` every update that is older than a tombstone goes.
    """
    latest = _latest(stones)
    erased = sum((erase(connection, person, before=at) for person, at in latest.items()), Erased())
    return erased + Erased(updates=_drop_updates(connection, latest, named_in))


@read
def would_erase(connection: Connection, stones: Iterable[Tombstone], named_in: NamedIn | None) -> bool:
    """Whether `replay` would find anything."""
    latest = _latest(stones)
    spans = ((_span(connection, person), at) for person, at in latest.items())
    return any(span and span[0] <= at for span, at in spans) or bool(_updates_naming(connection, latest, named_in))


@read
def has_data(connection: Connection, person: str) -> bool:
    """Whether there is anything of a person."""
    return _span(connection, person) is not None


@read
def cutoff(connection: Connection, person: str, now: datetime) -> datetime:
    """The moment up to which all that there is of a person now was made: now, or the latest date on any of it.

    Reactions carry Telegram's dates, which may be ahead of our clock.
    """
    span = _span(connection, person)
    return now if span is None else max(now, span[1])


@read
def runs_trained_on(connection: Connection, person: str, at: datetime) -> tuple[int, ...]:
    """The runs that learned from what an erasure would take away."""
    return _trained_on(connection, _values(connection, person, at))


@read
def vacuum(connection: Connection) -> bool:
    """Rewrite the file without the remains of what was deleted, and empty its log.

    False: somebody was reading, so the log still holds what it held; try again later.

    Raises:
        DatabaseUnusable: there is no room to rewrite the file; nothing has changed.
    """
    try:
        # secure_delete is not enough: SQLite leaves copies of cells that it moved while balancing pages (3.40, tried).
        connection.execute("VACUUM")
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except OperationalError as error:
        raise DatabaseUnusable(f"Erased rows cannot be overwritten ({error}): free some disk space.") from error
    return not is_busy


def _values(connection: Connection, person: str, at: datetime) -> dict[str, str]:
    """What the statements of an erasure ask for; `texts` are the person's and all that descend from them, youngest
    first."""
    values = {"person": person, "limit": at.astimezone(UTC).isoformat()}
    own = connection.execute("SELECT id FROM generations WHERE author = :person AND created_at <= :limit", values)
    texts = {number for (number,) in own}
    if texts:
        children = connection.execute("SELECT id, parent FROM generations WHERE parent IS NOT NULL ORDER BY id")
        for number, parent in children:  # a parent has a lower number than its children
            if parent in texts:
                texts.add(number)
    return values | {"texts": json.dumps(sorted(texts, reverse=True))}


def _trained_on(connection: Connection, values: dict[str, str]) -> tuple[int, ...]:
    found = connection.execute(f"SELECT DISTINCT run FROM {_LINEAGE}", values)  # noqa: S608 - of our own
    return tuple(sorted(run for (run,) in found))


def _span(connection: Connection, person: str) -> tuple[datetime, datetime] | None:
    """From when to when there is something of a person."""
    first, last = connection.execute(_SPAN, {"person": person}).fetchone()
    return None if first is None else (datetime.fromisoformat(first), datetime.fromisoformat(last))


def _updates_naming(
    connection: Connection, forgotten: Mapping[str, datetime], named_in: NamedIn | None
) -> list[tuple[int]]:
    """Updates that wait, and came up to the moment of one whom they name."""
    waiting = connection.execute("SELECT update_id, received_at, body FROM inbox WHERE body IS NOT NULL").fetchall()
    found = []
    for update_id, received_at, body in waiting:
        named = forgotten.keys() if named_in is None else forgotten.keys() & set(named_in(body))
        if any(datetime.fromisoformat(received_at) <= forgotten[person] for person in named):
            found.append((update_id,))
    return found


def _drop_updates(connection: Connection, forgotten: Mapping[str, datetime], named_in: NamedIn | None) -> int:
    """Count updates that name somebody as handled, and drop their bodies."""
    found = _updates_naming(connection, forgotten, named_in)
    connection.executemany("UPDATE inbox SET state = 'done', body = NULL WHERE update_id = ?", found)
    return len(found)


def _latest(stones: Iterable[Tombstone]) -> dict[str, datetime]:
    latest: dict[str, datetime] = {}
    for stone in stones:
        latest[stone.person] = max(stone.at, latest.get(stone.person, stone.at))
    return latest
