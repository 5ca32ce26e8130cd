"""Ratings: every event as it came, and the verdict that stands per generation and rater.

Events are ordered by (at, update_id), not by arrival, because Telegram may deliver them out of order. Emoji reactions
and buttons are one rating: the last one stands. A reaction that is taken back, or that says nothing, clears a rating
only where that rating was itself a reaction. Knows values, not what an emoji means.
"""

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

from storage import generations
from storage.database import Database
from storage.records import RatedText, Rating, RatingEvent, Tally

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far our clock may be from Telegram's."""

_CURRENT = """
    SELECT r.*, g.kind, g.version, p.first_seen_at,
        (SELECT count(*) FROM consents c WHERE c.chat = g.chat AND c.revoked_at IS NULL
            AND c.person IN (g.author, r.rater)) = (1 + (g.author <> r.rater))
            AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, r.rater)) AS consented
    FROM ratings r JOIN generations g ON g.id = r.generation JOIN people p ON p.person = r.rater
    WHERE r.value IS NOT NULL AND g.version IS NOT NULL
    ORDER BY r.generation, r.at, r.update_id
"""


async def record(db: Database, event: RatingEvent) -> None:
    """Append a reaction and make it the current verdict if it is the newest."""
    await db.write(lambda c: record_in(c, event))


def record_in(connection: sqlite3.Connection, event: RatingEvent) -> None:
    """`record` as a part of a larger transaction."""
    if _append(connection, event):
        _settle(connection, event)


async def press(db: Database, event: RatingEvent) -> RatingEvent:
    """Record a button: the same button again takes the rating back. Returns the event as it was recorded.

    A press has no date of Telegram's, only ours; so it is never taken for older than what stood when it came. A
    repeated delivery of one update changes nothing.
    """

    def write(connection: sqlite3.Connection) -> RatingEvent:
        recorded = event
        standing = _standing(connection, event)
        if standing is not None:
            recorded = replace(event, at=max(event.at, datetime.fromisoformat(standing["at"])))
            if standing["source"] == "button" and standing["value"] == event.value:
                recorded = replace(recorded, value=None, emoji="")
        record_in(connection, recorded)
        return recorded

    return await db.write(write)


async def tally(db: Database, generation: int) -> Tally:
    """How many people like and dislike a generation now."""
    return await db.read(lambda c: _tally(c, generation))


async def consented(db: Database) -> list[RatedText]:
    """What a run may learn from now: author and every counted rater have opted in, in that chat."""

    def collect(connection: sqlite3.Connection) -> list[RatedText]:
        by_generation: dict[int, list[Rating]] = {}
        for rating in current(connection):
            if rating.consented:
                by_generation.setdefault(rating.generation, []).append(rating)
        return [
            RatedText(generation, tuple(by_generation[generation.id]))
            for generation in generations.all_delivered(connection)
            if generation.id in by_generation
        ]

    return await db.read(collect)


def current(connection: sqlite3.Connection) -> list[Rating]:
    """Every rating that stands, one per person and generation, in order of the generations."""
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
        )
        for row in connection.execute(_CURRENT)
    ]


def _append(connection: sqlite3.Connection, event: RatingEvent) -> bool:
    """Append to the log of events; False when this update was recorded before."""
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (event.rater, event.at.isoformat()))
    cursor = connection.execute(
        "INSERT INTO rating_events (update_id, generation, rater, source, value, emoji, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        _values(event),
    )
    return cursor.rowcount == 1


def _settle(connection: sqlite3.Connection, event: RatingEvent) -> None:
    standing = _standing(connection, event)
    if standing is not None:
        if not _is_newer(event, standing):
            return
        if event.source == "reaction" and event.value is None and standing["source"] == "button":
            return
    connection.execute(
        "INSERT INTO ratings (update_id, generation, rater, source, value, emoji, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (generation, rater) DO UPDATE SET source = excluded.source, value = excluded.value,"
        " emoji = excluded.emoji, at = excluded.at, update_id = excluded.update_id",
        _values(event),
    )


def _is_newer(event: RatingEvent, standing: sqlite3.Row) -> bool:
    """Whether the event came after the verdict that stands.

    Two reactions have Telegram's dates. A press has our clock's, so beside a reaction it is compared by update id
    where the two dates are close; far apart, the dates decide, since Telegram starts its ids anew after a quiet week.
    """
    later = event.at - datetime.fromisoformat(standing["at"])
    is_one_clock = event.source == standing["source"] == "reaction"
    if later and (is_one_clock or abs(later) > CLOCK_TOLERANCE):
        return later > timedelta(0)
    return event.update_id > int(standing["update_id"])


def _values(event: RatingEvent) -> tuple[int | float | str | None, ...]:
    at = event.at.isoformat()
    return event.update_id, event.generation, event.rater, event.source, event.value, event.emoji, at


def _standing(connection: sqlite3.Connection, event: RatingEvent) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM ratings WHERE generation = ? AND rater = ?", (event.generation, event.rater)
    ).fetchone()
    return row


def _tally(connection: sqlite3.Connection, generation: int) -> Tally:
    likes, dislikes = connection.execute(
        "SELECT coalesce(sum(value > 0), 0), coalesce(sum(value < 0), 0) FROM ratings WHERE generation = ?",
        (generation,),
    ).fetchone()
    return Tally(likes, dislikes)
