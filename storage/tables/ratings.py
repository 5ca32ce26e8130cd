"""Ratings: every event as it came, and the verdict that stands per generation and rater.

The verdict is what the person's events come to in their own order, by (at, update_id), and never in that of arrival:
Telegram may deliver them in another one, and reactions do not wait for presses. Emoji reactions and buttons are one
rating: the last one stands. The same button again takes it back. A reaction that is taken back, or that says nothing,
clears a rating only where that rating was itself a reaction. Knows values, not what an emoji means.
"""

import sqlite3
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cmp_to_key

from storage.db.database import Database
from storage.db.records import RatedText, Rating, RatingEvent, Signal, Tally
from storage.tables import generations, signals
from storage.tables.agreement import agreed

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far our clock may be from Telegram's."""

_CURRENT = f"""
    SELECT r.*, g.kind, g.version, p.first_seen_at, w.reason,
        {agreed("r.rater")} AS consented
    FROM ratings r JOIN generations g ON g.id = r.generation JOIN people p ON p.person = r.rater
    LEFT JOIN reasons w ON w.generation = r.generation AND w.rater = r.rater AND w.verdict = r.update_id AND r.value < 0
    WHERE r.value IS NOT NULL AND g.version IS NOT NULL AND r.generation >= :first
"""  # noqa: S608 - of our own
_TALLY = """
    SELECT coalesce(max(g.likes), 0) + coalesce(sum(r.value > 0), 0),
        coalesce(max(g.dislikes), 0) + coalesce(sum(r.value < 0), 0),
        (SELECT (SELECT count(*) FROM choices WHERE generation = :generation)
            FROM duels d JOIN generations o ON o.id = d.rival
            WHERE d.generation = :generation AND o.state <> 'failed')
    FROM generations g LEFT JOIN ratings r ON r.generation = g.id WHERE g.id = :generation
"""


async def record(db: Database, event: RatingEvent) -> None:
    """Append a reaction, and settle the verdict anew."""
    await db.write(lambda c: record_in(c, event))


def record_in(connection: sqlite3.Connection, event: RatingEvent) -> RatingEvent:
    """`record` as a part of a larger transaction. Returns what stood right after this event.

    A repeated delivery of one update changes nothing.
    """
    _append(connection, event)
    stands = after = replace(event, source="reaction", value=None, emoji="")
    for said in sorted(_said(connection, event), key=cmp_to_key(_compare)):
        stands = _after(stands, said)
        if said.update_id == event.update_id:
            after = stands
    connection.execute(
        "INSERT INTO ratings (update_id, generation, rater, source, value, emoji, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (generation, rater) DO UPDATE SET source = excluded.source, value = excluded.value,"
        " emoji = excluded.emoji, at = excluded.at, update_id = excluded.update_id",
        _values(stands),
    )
    return after


async def press(db: Database, event: RatingEvent) -> RatingEvent:
    """Record a button. Returns what stood right after it; no value where it took the rating back.

    A press has no date of Telegram's, only ours; so it is never taken for older than what stood when it came.
    """

    def write(connection: sqlite3.Connection) -> RatingEvent:
        latest = max([event.at, *(said.at for said in _said(connection, event))])
        return record_in(connection, replace(event, at=latest))

    return await db.write(write)


async def tally(db: Database, generation: int) -> Tally:
    """How many people like and dislike a generation now."""
    return await db.read(lambda c: _tally(c, generation))


async def consented(db: Database, *, newest: int | None = None) -> list[RatedText]:
    """What may be learned from now: its author, everybody whose words it repeats, and everybody who is counted have
    opted in, in that chat. Oldest first.

    `newest` leaves out all texts that are older than the newest so many that have a rating.
    """
    return await db.read(lambda c: consented_in(c, newest=newest))


def consented_in(connection: sqlite3.Connection, *, newest: int | None = None) -> list[RatedText]:
    """`consented`, for who reads beside the bot."""
    first = 0 if newest is None else _first_of(connection, newest)
    said: dict[int, list[Rating]] = defaultdict(list)
    for rating in current(connection, first):
        if rating.consented:
            said[rating.generation].append(rating)
    done: dict[int, list[Signal]] = defaultdict(list)
    for signal in signals.consented_since(connection, first):
        done[signal.generation].append(signal)
    return [
        RatedText(generation, tuple(said[generation.id]), tuple(done[generation.id]))
        for generation in generations.delivered_since(connection, first)
        if generation.id in said or generation.id in done
    ]


def current(connection: sqlite3.Connection, first: int = 0) -> list[Rating]:
    """Every rating that stands on the generations from a number on, one per person and generation, by generation."""
    return [
        Rating(
            generation=row["generation"],
            kind=row["kind"],
            version=row["version"],
            rater=row["rater"],
            value=row["value"],
            emoji=row["emoji"],
            at=datetime.fromisoformat(row["at"]),
            consented=bool(row["consented"]),
            rater_first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
            reason=row["reason"],
        )
        for row in connection.execute(f"{_CURRENT} ORDER BY r.generation, r.at, r.update_id", {"first": first})
    ]


def _first_of(connection: sqlite3.Connection, newest: int) -> int:
    """The number of the oldest among the newest texts with a consented rating; no more rows are read than it takes."""
    numbers: set[int] = set()
    for row in connection.execute(f"{_CURRENT} ORDER BY r.generation DESC", {"first": 0}):
        if row["consented"]:
            numbers.add(row["generation"])
            if len(numbers) == newest:
                return int(row["generation"])
    return 0


def _append(connection: sqlite3.Connection, event: RatingEvent) -> None:
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (event.rater, event.at.isoformat()))
    connection.execute(
        "INSERT INTO rating_events (update_id, generation, rater, source, value, emoji, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        _values(event),
    )


def _said(connection: sqlite3.Connection, event: RatingEvent) -> list[RatingEvent]:
    """Everything that this person has said to this text."""
    rows = connection.execute(
        "SELECT * FROM rating_events WHERE generation = ? AND rater = ?", (event.generation, event.rater)
    )
    return [RatingEvent(**{**dict(row), "at": datetime.fromisoformat(row["at"])}) for row in rows]


def _after(stands: RatingEvent, said: RatingEvent) -> RatingEvent:
    """What stands after another event."""
    if said.source == stands.source == "button" and said.value == stands.value:
        return replace(said, value=None, emoji="")
    if said.source == "reaction" and said.value is None and stands.source == "button":
        return stands
    return said


def _compare(one: RatingEvent, other: RatingEvent) -> int:
    """Above 0 where `one` came after `other`.

    Two reactions have Telegram's dates. A press has our clock's, so beside a reaction it is compared by update id
    where the two dates are close; far apart, the dates decide, since Telegram starts its ids anew after a quiet week.
    """
    later = one.at - other.at
    is_one_clock = one.source == other.source == "reaction"
    if later and (is_one_clock or abs(later) > CLOCK_TOLERANCE):
        return 1 if later > timedelta(0) else -1
    return one.update_id - other.update_id


def _values(event: RatingEvent) -> tuple[int | float | str | None, ...]:
    at = event.at.isoformat()
    return event.update_id, event.generation, event.rater, event.source, event.value, event.emoji, at


def _tally(connection: sqlite3.Connection, generation: int) -> Tally:
    likes, dislikes, chosen = connection.execute(_TALLY, {"generation": generation}).fetchone()
    return Tally(likes, dislikes, chosen)
