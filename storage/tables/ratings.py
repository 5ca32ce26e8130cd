"""Ratings: the events as they came, and the verdict that stands per generation and rater.

The verdict is what the person's events come to in their own order, and never in that of arrival: Telegram may deliver
them in another one, and reactions do not wait for presses. Emoji reactions and buttons are one rating: the last one
stands. The same button again takes it back. A reaction that is taken back, or that says nothing, clears a rating only
where that rating was itself a reaction.

So a verdict needs no more than the last reaction that says something, whether one that says nothing follows it, and the
presses after it. Of what one person says to one text the newest `KEPT` reactions and presses are kept, and what else a
verdict needs: an event costs the same whatever came before. Reactions may arrive in any order whatever; a press that
arrives after `KEPT` // 2 later ones of the same person on the same text changes nothing
(`docs/decisions/0039-what-one-person-can-write.md`).

A reaction can arrive before the id of the message that it is on is committed: Telegram sends messages and reactions
by different ways. Such a one is kept while its chat waits for a message of ours, and counted once that stands.
Everything else that people react to is nobody's business here and is not kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from sqlite3 import Connection

from storage.db.database import columns, count, read, records, value, write
from storage.db.records import ConsentedText, DislikeReason, Generation, Rating, RatingEvent, Reaction, Tally
from storage.tables import generations, people
from storage.tables.people import agreed

KEPT = 32
"""Reactions, and presses, of one person on one text; of more, the older half goes. Presses in one chat are handled one
after another, so that none is ever late by as many."""
_EARLY_KEPT = 100
"""Messages of one chat of which a person's reactions are kept while a message of ours there has no id yet: somebody who
reacts to as many within the second or two that this takes is no reader."""
_IDS_GO_ON = timedelta(days=6)
"""After a week without updates Telegram starts its ids anew; up to then a later press has a higher one."""

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
        _keep_early(connection, reaction)
    return found


@write
def record_button(connection: Connection, event: RatingEvent) -> RatingEvent:
    """Record a button. Returns what stood right after it; no value where it took the rating back.

    A press has no date of Telegram's, only ours; so it is never taken for older than what was said before it.
    """
    said = _said(connection, event)
    before = (each.at for each in said if each.update_id < event.update_id)
    return _record(connection, replace(event, at=max([event.at, *before])), said)


@write
def record(connection: Connection, event: RatingEvent) -> RatingEvent:
    """Append an event, and settle the verdict anew. Returns what stood right after this event.

    A repeated delivery of one update changes nothing, and neither does a press that is older than what is folded.
    """
    return _record(connection, event, _said(connection, event))


def _record(connection: Connection, event: RatingEvent, said: list[RatingEvent]) -> RatingEvent:
    """Append an event to what the same person has said to the same text."""
    people.see(connection, event.rater, at=event.at)
    if not any(each.update_id == event.update_id for each in said):
        if _is_folded(event, said):
            return _verdict(said)
        appended = connection.execute(
            "INSERT INTO rating_events (update_id, generation, rater, source, value, emoji, at)"
            " VALUES (:update_id, :generation, :rater, :source, :value, :emoji, :at) ON CONFLICT DO NOTHING",
            columns(event),
        )
        if appended.rowcount == 0:  # Telegram has started its ids anew and come upon one that another text has
            return _verdict(said) if said else replace(event, value=None, emoji="")
        said.append(event)
        _fold(connection, said)  # comes to the same verdict
    stands, until = _verdict(said), _until(said, event.update_id)
    connection.execute(
        "INSERT INTO ratings (update_id, generation, rater, source, value, emoji, at)"
        " VALUES (:update_id, :generation, :rater, :source, :value, :emoji, :at)"
        " ON CONFLICT (generation, rater) DO UPDATE SET source = excluded.source, value = excluded.value,"
        " emoji = excluded.emoji, at = excluded.at, update_id = excluded.update_id"
        " WHERE (source, value, emoji, at, update_id) IS NOT"
        " (excluded.source, excluded.value, excluded.emoji, excluded.at, excluded.update_id)",
        columns(stands),
    )
    return stands if len(until) == len(said) else _verdict(until)


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
    added = connection.execute(
        "INSERT OR IGNORE INTO anonymous_reactions (update_id, generation, change)"
        " SELECT ?, generation, ? FROM shown_in WHERE chat_id = ? AND message_id = ? RETURNING generation",
        (update_id, json.dumps(change), chat_id, message_id),
    )
    if (generation := value(int, added)) is not None:
        _fold_anonymous(connection, generation)


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


def _verdict(said: Sequence[RatingEvent]) -> RatingEvent:
    """What somebody's events, at least one, come to: the same in whatever order they are given."""
    reactions = _reactions(said)
    presses = _presses(said)
    if (last := _last_word(reactions)) is not None:
        presses = [press for press in presses if _is_after(press, last)]
    return _pressed(presses) if presses else reactions[-1]


def _pressed(presses: Sequence[RatingEvent]) -> RatingEvent:
    """What presses in a row come to: the last, unless it takes back the one before."""
    stands = presses[0]
    for press in presses[1:]:
        takes_back = not press.folded and press.value == stands.value
        stands = replace(press, value=None, emoji="") if takes_back else press
    return stands


def _until(said: Sequence[RatingEvent], update_id: int) -> list[RatingEvent]:
    """An event with all that was said before it."""
    (event,) = (each for each in said if each.update_id == update_id)
    reactions, presses = _reactions(said), _presses(said)
    if event.source == "reaction":
        earlier = [press for press in presses if not _is_after(press, event)]
        return [*reactions[: reactions.index(event) + 1], *earlier]
    earlier = [reaction for reaction in reactions if _is_after(event, reaction)]
    return [*earlier, *presses[: presses.index(event) + 1]]


def _reactions(said: Sequence[RatingEvent]) -> list[RatingEvent]:
    """The reactions in their order: by Telegram's dates, whole seconds, and within one by update id."""
    return sorted((each for each in said if each.source == "reaction"), key=lambda each: (each.at, each.update_id))


def _presses(said: Sequence[RatingEvent]) -> list[RatingEvent]:
    """The presses in their order: by update id, from one gap to the next in which Telegram may start its ids anew."""
    by_date = sorted((each for each in said if each.source == "button"), key=lambda each: (each.at, each.update_id))
    ordered: list[RatingEvent] = []
    begin = 0
    for place in range(1, len(by_date) + 1):
        if place == len(by_date) or by_date[place].at - by_date[place - 1].at > _IDS_GO_ON:
            ordered += sorted(by_date[begin:place], key=lambda each: each.update_id)
            begin = place
    return ordered


def _last_word(reactions: Sequence[RatingEvent]) -> RatingEvent | None:
    """The last reaction that says something: whatever was said before it can never change the verdict again."""
    return next((each for each in reversed(reactions) if each.value is not None), None)


def _is_after(press: RatingEvent, reaction: RatingEvent) -> bool:
    """Whether somebody pressed after they reacted.

    A press has the date of its handling, by our clock, which may be hours after an outage; so the update ids decide.
    Where days lie between, the dates do, since Telegram starts its ids anew after a quiet week.
    """
    later = press.at - reaction.at
    if abs(later) > _IDS_GO_ON:
        return later > timedelta(0)
    return press.update_id > reaction.update_id


def _is_folded(press: RatingEvent, said: Sequence[RatingEvent]) -> bool:
    """Whether an event that is not among those kept is a press older than the ones that were folded, or one of them."""
    ordered = _presses([*said, press])
    return press in ordered and any(each.folded for each in ordered[ordered.index(press) :])


def _fold(connection: Connection, said: Sequence[RatingEvent]) -> None:
    """Where too many events are kept, delete the older half but for what a verdict needs: the last reaction that says
    something, and of the presses one that stands for all before it.
    """
    gone: list[RatingEvent] = []
    reactions, presses = _reactions(said), _presses(said)
    last = _last_word(reactions)
    if len(reactions) > KEPT:
        gone += [each for each in reactions[: -KEPT // 2] if each is not last]
    if len(presses) > KEPT:
        *older, newest = old = presses[: -KEPT // 2]
        counted = [press for press in old if last is None or _is_after(press, last)]
        came_to = _pressed(counted or old)
        folded = replace(newest, value=came_to.value, emoji=came_to.emoji, folded=sum(1 + it.folded for it in old) - 1)
        connection.execute(
            "UPDATE rating_events SET value = :value, emoji = :emoji, folded = :folded WHERE update_id = :update_id",
            columns(folded),
        )
        gone += older
    connection.executemany("DELETE FROM rating_events WHERE update_id = ?", [(each.update_id,) for each in gone])


def _keep_early(connection: Connection, reaction: Reaction) -> None:
    """Keep a reaction until it is known which message of ours it is on. Of those on one message the last that says
    something and the last that says nothing are enough, and of one person those on so many messages."""
    connection.execute(
        "INSERT INTO early_reactions (update_id, chat_id, message_id, rater, value, emoji, at)"
        " VALUES (:update_id, :chat_id, :message_id, :rater, :value, :emoji, :at) ON CONFLICT DO NOTHING",
        columns(reaction),
    )
    connection.execute(
        "DELETE FROM early_reactions AS old WHERE chat_id = :chat_id AND rater = :rater AND message_id = :message_id"
        " AND EXISTS (SELECT 1 FROM early_reactions new WHERE new.chat_id = old.chat_id AND new.rater = old.rater"
        " AND new.message_id = old.message_id AND (new.value IS NULL) = (old.value IS NULL)"
        " AND (new.at, new.update_id) > (old.at, old.update_id))",
        columns(reaction),
    )
    connection.execute(
        "DELETE FROM early_reactions WHERE chat_id = :chat_id AND rater = :rater AND message_id IN ("
        " SELECT message_id FROM early_reactions WHERE chat_id = :chat_id AND rater = :rater"
        " GROUP BY message_id ORDER BY max(at) DESC, message_id DESC LIMIT -1 OFFSET :kept)",
        columns(reaction) | {"kept": _EARLY_KEPT},
    )


def _fold_anonymous(connection: Connection, generation: int) -> None:
    """Where too many changes of unnamed senders are kept on a text, put the sum of the older half in their place."""
    query = "SELECT update_id, change FROM anonymous_reactions WHERE generation = ? ORDER BY update_id"
    changes = connection.execute(query, (generation,)).fetchall()
    if len(changes) <= KEPT:
        return
    old = changes[: -KEPT // 2]
    total: dict[str, int] = {}
    for _, change in old:
        for emoji, times in json.loads(change).items():
            total[emoji] = total.get(emoji, 0) + times
    connection.executemany("DELETE FROM anonymous_reactions WHERE update_id = ?", [(it,) for it, _ in old[:-1]])
    query = "UPDATE anonymous_reactions SET change = ? WHERE update_id = ?"
    connection.execute(query, (json.dumps({emoji: times for emoji, times in total.items() if times}), old[-1][0]))


def _start_of(connection: Connection, newest: int) -> int:
    """The number of the oldest among the newest texts with a consented rating; no more rows are read than it takes."""
    numbers: set[int] = set()
    for row in connection.execute(f"{_CURRENT} ORDER BY r.generation DESC", {"start": 0}):
        if row["consented"]:
            numbers.add(row["generation"])
            if len(numbers) == newest:
                return int(row["generation"])
    return 0
