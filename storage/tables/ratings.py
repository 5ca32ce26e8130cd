"""Reactions of nobody in particular: totals that Telegram counts without a name, and what anonymous admins do.

Numbers for the statistics and for nothing else: they are no ratings, and nothing learns from them.

Reasons: why somebody dislikes a text, if they care to say. One that is given stands as long as the dislike does.

A reason names the rating event that it explains, so that it falls with it, whatever the replay of the events comes to.

Ratings: every event as it came, and the verdict that stands per generation and rater.

The verdict is what the person's events come to in their own order, by (at, update_id), and never in that of arrival:
Telegram may deliver them in another one, and reactions do not wait for presses. Emoji reactions and buttons are one
rating: the last one stands. The same button again takes it back. A reaction that is taken back, or that says nothing,
clears a rating only where that rating was itself a reaction. Knows values, not what an emoji means.

Where a generation stands in a chat, and the reactions that were faster than our note of it.

A reaction can arrive before the id of the message that it is on is committed: Telegram sends messages and reactions
by different ways. Such a one is kept while its chat waits for a message of ours, and counted once that stands.
Everything else that people react to is nobody's business here and is not kept.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key

from storage.db.database import Database
from storage.db.records import (
    ConsentedGeneration,
    DislikeReason,
    Generation,
    Rating,
    RatingEvent,
    Reaction,
    Tally,
    TextSignal,
)
from storage.tables import generations
from storage.tables.generations import agreed

_TOTALS = """
    INSERT INTO counted_reactions (generation, totals, at, update_id)
    SELECT generation, :totals, :at, :update_id FROM deliveries WHERE chat_id = :chat_id AND message_id = :message_id
    ON CONFLICT (generation) DO UPDATE SET totals = excluded.totals, at = excluded.at, update_id = excluded.update_id
    WHERE (excluded.at, excluded.update_id) > (counted_reactions.at, counted_reactions.update_id)
"""
_CHANGE = """
    INSERT OR IGNORE INTO anonymous_reactions (update_id, generation, change)
    SELECT :update_id, generation, :change FROM deliveries WHERE chat_id = :chat_id AND message_id = :message_id
"""


async def record_reaction_counts(
    db: Database, totals: Mapping[str, int], *, chat_id: int, message_id: int, at: datetime, update_id: int
) -> None:
    """How often each emoji stands on a message of ours; the newest totals stand, and other messages do not matter."""
    values = {
        "totals": json.dumps(totals), "at": at.astimezone(UTC).isoformat(), "update_id": update_id,
        "chat_id": chat_id, "message_id": message_id,
    }  # fmt: skip
    await db.write(lambda c: c.execute(_TOTALS, values))


async def record_anonymous_reaction(
    db: Database, change: Mapping[str, int], *, chat_id: int, message_id: int, update_id: int
) -> None:
    """What somebody without a name has put on a message of ours (1) or taken away (-1), each update once."""
    values = {"change": json.dumps(change), "update_id": update_id, "chat_id": chat_id, "message_id": message_id}
    await db.write(lambda c: c.execute(_CHANGE, values))


_UNEXPLAINED = """
    SELECT count(*) FROM ratings r WHERE r.generation = ? AND r.value < 0 AND r.source = 'button' AND NOT EXISTS
        (SELECT 1 FROM reasons w WHERE w.generation = r.generation AND w.rater = r.rater AND w.verdict = r.update_id)
"""


async def record_reason(db: Database, generation: int, rater: str, reason: DislikeReason, *, at: datetime) -> bool:
    """Give the reason of a dislike, in place of one that was given before; False where no dislike of theirs stands."""
    return await db.write(
        lambda c: (
            c.execute(
                "INSERT INTO reasons SELECT generation, rater, update_id, ?, ? FROM ratings"
                " WHERE generation = ? AND rater = ? AND value < 0"
                " ON CONFLICT DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, at = excluded.at",
                (reason, at.isoformat(), generation, rater),
            ).rowcount
            == 1
        )
    )


async def wants_reason(db: Database, generation: int) -> bool:
    """Whether a 👎 that was pressed stands without a reason."""
    row = await db.read(lambda c: c.execute(_UNEXPLAINED, (generation,)).fetchone())
    return bool(row[0])


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


async def record_button(db: Database, event: RatingEvent) -> RatingEvent:
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


async def consented(db: Database, *, newest: int | None = None) -> list[ConsentedGeneration]:
    """What may be learned from now: its author, everybody whose words it repeats, and everybody who is counted have
    opted in, in that chat. Oldest first.

    `newest` leaves out all texts that are older than the newest so many that have a rating.
    """
    return await db.read(lambda c: consented_in(c, newest=newest))


def consented_in(connection: sqlite3.Connection, *, newest: int | None = None) -> list[ConsentedGeneration]:
    """`consented`, for who reads beside the bot."""
    first = 0 if newest is None else _first_of(connection, newest)
    said: dict[int, list[Rating]] = defaultdict(list)
    for rating in current(connection, first):
        if rating.consented:
            said[rating.generation].append(rating)
    done: dict[int, list[TextSignal]] = defaultdict(list)
    for signal in generations.consented_signals_since(connection, first):
        done[signal.generation].append(signal)
    return [
        ConsentedGeneration(generation, tuple(said[generation.id]), tuple(done[generation.id]))
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


_UNPLACED = """
    SELECT 1 FROM deliveries d JOIN generations g ON g.id = d.generation
    WHERE d.chat_id = ? AND d.message_id IS NULL AND g.state = 'accepted' LIMIT 1
"""


async def record_placeholder(db: Database, generation: int, *, message_id: int) -> bool:
    """The placeholder stands in the chat; from now on reactions to it find this generation.

    False: nobody waits for it any more, because it was stopped or forgotten.
    """

    def record(connection: sqlite3.Connection) -> bool:
        placed = connection.execute(
            "UPDATE generations SET state = 'placed' WHERE id = ? AND state = 'accepted'", (generation,)
        )
        if placed.rowcount != 1:
            return False
        connection.execute("UPDATE deliveries SET message_id = ? WHERE generation = ?", (message_id, generation))
        (chat_id,) = connection.execute("SELECT chat_id FROM deliveries WHERE generation = ?", (generation,)).fetchone()
        _count_early(connection, generation, chat_id, message_id)
        return True

    return await db.write(record)


async def record_reaction(db: Database, reaction: Reaction) -> Generation | None:
    """Record a reaction on a message of ours; None, and nothing kept, where the message shows no generation."""

    def record(connection: sqlite3.Connection) -> Generation | None:
        found = generations.in_message(connection, chat_id=reaction.chat_id, message_id=reaction.message_id)
        if found is not None:
            record_in(connection, _event(reaction, found.id))
        elif connection.execute(_UNPLACED, (reaction.chat_id,)).fetchone() is not None:
            _keep(connection, reaction)
        return found

    return await db.write(record)


def _keep(connection: sqlite3.Connection, reaction: Reaction) -> None:
    connection.execute(
        "INSERT INTO early_reactions (update_id, chat_id, message_id, rater, value, emoji, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            reaction.update_id, reaction.chat_id, reaction.message_id, reaction.rater, reaction.value, reaction.emoji,
            reaction.at.isoformat(),
        ),
    )  # fmt: skip


def _count_early(connection: sqlite3.Connection, generation: int, chat_id: int, message_id: int) -> None:
    """Count what waited for this message, and drop the rest once the chat waits for nothing."""
    waiting = connection.execute(
        "SELECT * FROM early_reactions WHERE chat_id = ? AND message_id = ? ORDER BY update_id", (chat_id, message_id)
    ).fetchall()
    for row in waiting:
        early = Reaction(**{**dict(row), "at": datetime.fromisoformat(row["at"])})
        record_in(connection, _event(early, generation))
    connection.execute("DELETE FROM early_reactions WHERE chat_id = ? AND message_id = ?", (chat_id, message_id))
    if connection.execute(_UNPLACED, (chat_id,)).fetchone() is None:
        connection.execute("DELETE FROM early_reactions WHERE chat_id = ?", (chat_id,))


def _event(reaction: Reaction, generation: int) -> RatingEvent:
    return RatingEvent(
        update_id=reaction.update_id,
        generation=generation,
        rater=reaction.rater,
        source="reaction",
        value=reaction.value,
        emoji=reaction.emoji,
        at=reaction.at,
    )
