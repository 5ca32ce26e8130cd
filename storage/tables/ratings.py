"""Ratings: every event as it came, and the verdict that stands per generation and rater.

The verdict is what the person's events come to in their own order, by (at, update_id), and never in that of arrival:
Telegram may deliver them in another one, and reactions do not wait for presses. Emoji reactions and buttons are one
rating: the last one stands. The same button again takes it back. A reaction that is taken back, or that says nothing,
clears a rating only where that rating was itself a reaction.

A reaction can arrive before the id of the message that it is on is committed: Telegram sends messages and reactions
by different ways. Such a one is kept while its chat waits for a message of ours, and counted once that stands.
Everything else that people react to is nobody's business here and is not kept.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cmp_to_key
from itertools import groupby
from operator import attrgetter
from sqlite3 import Connection

from storage.db.database import columns, count, read, records, write
from storage.db.records import ConsentedText, DislikeReason, Generation, Rating, RatingEvent, Reaction, Tally
from storage.tables import generations, people
from storage.tables.people import agreed

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far our clock may be from Telegram's."""

_UNPLACED = """
    SELECT 1 FROM deliveries d JOIN generations g ON g.id = d.generation
    WHERE d.chat_id = ? AND d.message_id IS NULL AND g.state = 'accepted' LIMIT 1
"""
_CURRENT = f"""
    SELECT r.*, g.kind, g.version, p.first_seen_at AS rater_first_seen_at, w.reason,
        {agreed("r.rater")} AS consented
    FROM ratings r JOIN generations g ON g.id = r.generation JOIN people p ON p.person = r.rater
    LEFT JOIN reasons w ON w.generation = r.generation AND w.rater = r.rater AND w.verdict = r.update_id AND r.value < 0
    WHERE r.value IS NOT NULL AND g.version IS NOT NULL AND r.generation >= :start
"""  # noqa: S608 - of our own
_TALLY = """
    SELECT coalesce(max(g.likes), 0) + coalesce(sum(r.value > 0), 0) AS likes,
        coalesce(max(g.dislikes), 0) + coalesce(sum(r.value < 0), 0) AS dislikes,
        (SELECT (SELECT count(*) FROM choices WHERE generation = :generation)
            FROM duels d JOIN generations o ON o.id = d.rival
            WHERE d.generation = :generation AND o.state <> 'failed') AS chosen
    FROM generations g LEFT JOIN ratings r ON r.generation = g.id WHERE g.id = :generation
"""
_UNEXPLAINED = """
    SELECT count(*) FROM ratings r WHERE r.generation = ? AND r.value < 0 AND r.source = 'button' AND NOT EXISTS
        (SELECT 1 FROM reasons w WHERE w.generation = r.generation AND w.rater = r.rater AND w.verdict = r.update_id)
"""


@write
def record_placeholder(connection: Connection, generation: int, *, message_id: int) -> bool:
    """The placeholder stands in the chat; from now on reactions to it find this generation.

    False: nobody waits for it any more, because it was stopped or forgotten.
    """
    query = "UPDATE generations SET state = 'placed' WHERE id = ? AND state = 'accepted'"
    if connection.execute(query, (generation,)).rowcount != 1:
        return False
    query = "UPDATE deliveries SET message_id = ? WHERE generation = ? RETURNING chat_id"
    (chat_id,) = connection.execute(query, (message_id, generation)).fetchone()
    query = "DELETE FROM early_reactions WHERE chat_id = ? AND message_id = ? RETURNING *"
    early = connection.execute(query, (chat_id, message_id))
    for reaction in sorted(records(Reaction, early), key=lambda each: each.update_id):
        record(connection, _event(reaction, generation))
    if not _awaits_message(connection, chat_id):
        connection.execute("DELETE FROM early_reactions WHERE chat_id = ?", (chat_id,))
    return True


@write
def record_reaction(connection: Connection, reaction: Reaction) -> Generation | None:
    """Record a reaction on a message of ours; None, and nothing kept, where the message shows no generation."""
    found = generations.by_message(connection, chat_id=reaction.chat_id, message_id=reaction.message_id)
    if found is not None:
        record(connection, _event(reaction, found.id))
    elif _awaits_message(connection, reaction.chat_id):
        connection.execute(
            "INSERT INTO early_reactions (update_id, chat_id, message_id, rater, value, emoji, at)"
            " VALUES (:update_id, :chat_id, :message_id, :rater, :value, :emoji, :at) ON CONFLICT DO NOTHING",
            columns(reaction),
        )
    return found


@write
def record_button(connection: Connection, event: RatingEvent) -> RatingEvent:
    """Record a button. Returns what stood right after it; no value where it took the rating back.

    A press has no date of Telegram's, only ours; so it is never taken for older than what stood when it came.
    """
    return record(connection, replace(event, at=max([event.at, *(said.at for said in _said(connection, event))])))


@write
def record(connection: Connection, event: RatingEvent) -> RatingEvent:
    """Append an event, and settle the verdict anew. Returns what stood right after this event.

    A repeated delivery of one update changes nothing.
    """
    people.see(connection, event.rater, at=event.at)
    connection.execute(
        "INSERT INTO rating_events (update_id, generation, rater, source, value, emoji, at)"
        " VALUES (:update_id, :generation, :rater, :source, :value, :emoji, :at) ON CONFLICT DO NOTHING",
        columns(event),
    )
    stands = after = replace(event, source="reaction", value=None, emoji="")
    for said in sorted(_said(connection, event), key=cmp_to_key(_compare)):
        stands = _after(stands, said)
        if said.update_id == event.update_id:
            after = stands
    connection.execute(
        "INSERT INTO ratings (update_id, generation, rater, source, value, emoji, at)"
        " VALUES (:update_id, :generation, :rater, :source, :value, :emoji, :at)"
        " ON CONFLICT (generation, rater) DO UPDATE SET source = excluded.source, value = excluded.value,"
        " emoji = excluded.emoji, at = excluded.at, update_id = excluded.update_id",
        columns(stands),
    )
    return after


@read
def tally(connection: Connection, generation: int) -> Tally:
    """How many people like and dislike a generation now."""
    (found,) = records(Tally, connection.execute(_TALLY, {"generation": generation}))
    return found


@write
def record_reason(connection: Connection, generation: int, rater: str, reason: DislikeReason, *, at: datetime) -> bool:
    """Give the reason of a dislike, in place of one that was given before; False where no dislike of theirs stands.

    A reason names the rating event that it explains, so that it falls with it, whatever the replay of the events comes
    to.
    """
    given = connection.execute(
        "INSERT INTO reasons SELECT generation, rater, update_id, ?, ? FROM ratings"
        " WHERE generation = ? AND rater = ? AND value < 0"
        " ON CONFLICT DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, at = excluded.at",
        (reason, at, generation, rater),
    )
    return given.rowcount == 1


@read
def wants_reason(connection: Connection, generation: int) -> bool:
    """Whether a 👎 that was pressed stands without a reason."""
    return count(connection.execute(_UNEXPLAINED, (generation,))) > 0


@read
def current(connection: Connection, start: int = 0) -> list[Rating]:
    """Every rating that stands on the generations from a number on, one per person and generation, by generation."""
    query = f"{_CURRENT} ORDER BY r.generation, r.at, r.update_id"
    return records(Rating, connection.execute(query, {"start": start}))


@read
def consented(connection: Connection, *, newest: int | None = None) -> list[ConsentedText]:
    """What may be learned from now: its author, everybody whose words it repeats, and everybody who is counted have
    opted in, in that chat. Oldest first.

    `newest` leaves out all texts that are older than the newest so many that have a rating.
    """
    start = 0 if newest is None else _start_of(connection, newest)
    of_text = attrgetter("generation")  # both come by generation
    standing = (rating for rating in current(connection, start) if rating.consented)
    rated = {text: tuple(these) for text, these in groupby(standing, of_text)}
    done = {text: tuple(these) for text, these in groupby(generations.consented_signals(connection, start), of_text)}
    return [
        ConsentedText(text, rated.get(text.id, ()), done.get(text.id, ()))
        for text in generations.delivered(connection, start)
        if text.id in rated or text.id in done
    ]


@write
def record_reaction_counts(
    connection: Connection, totals: Mapping[str, int], *, chat_id: int, message_id: int, at: datetime, update_id: int
) -> None:
    """How often each emoji stands on a message of ours, without a name; the newest totals stand.

    These and anonymous reactions are numbers for the statistics and for nothing else: they are no ratings, and nothing
    learns from them.
    """
    connection.execute(
        "INSERT INTO counted_reactions (generation, totals, at, update_id)"
        " SELECT generation, ?, ?, ? FROM deliveries WHERE chat_id = ? AND message_id = ?"
        " ON CONFLICT (generation) DO UPDATE SET totals = excluded.totals, at = excluded.at,"
        " update_id = excluded.update_id"
        " WHERE (excluded.at, excluded.update_id) > (counted_reactions.at, counted_reactions.update_id)",
        (json.dumps(totals), at, update_id, chat_id, message_id),
    )


@write
def record_anonymous_reaction(
    connection: Connection, change: Mapping[str, int], *, chat_id: int, message_id: int, update_id: int
) -> None:
    """What somebody without a name has put on a message of ours (1) or taken away (-1), each update once."""
    connection.execute(
        "INSERT OR IGNORE INTO anonymous_reactions (update_id, generation, change)"
        " SELECT ?, generation, ? FROM shown_in WHERE chat_id = ? AND message_id = ?",
        (update_id, json.dumps(change), chat_id, message_id),
    )


def _awaits_message(connection: Connection, chat_id: int) -> bool:
    """Whether a message of ours in this chat may stand already without our knowing its id."""
    return connection.execute(_UNPLACED, (chat_id,)).fetchone() is not None


def _event(reaction: Reaction, generation: int) -> RatingEvent:
    return RatingEvent(
        update_id=reaction.update_id, generation=generation, rater=reaction.rater, source="reaction",
        value=reaction.value, emoji=reaction.emoji, at=reaction.at,
    )  # fmt: skip


def _said(connection: Connection, event: RatingEvent) -> list[RatingEvent]:
    """Everything that this person has said to this text."""
    query = "SELECT * FROM rating_events WHERE generation = ? AND rater = ?"
    return records(RatingEvent, connection.execute(query, (event.generation, event.rater)))


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


def _start_of(connection: Connection, newest: int) -> int:
    """The number of the oldest among the newest texts with a consented rating; no more rows are read than it takes."""
    numbers: set[int] = set()
    for row in connection.execute(f"{_CURRENT} ORDER BY r.generation DESC", {"start": 0}):
        if row["consented"]:
            numbers.add(row["generation"])
            if len(numbers) == newest:
                return int(row["generation"])
    return 0
