"""Generations and their way to a person: accepted, placed, written, delivered; or failed.

What was asked and written lies encrypted under its author's key (`storage.db.keyring`), a conversation that repeats
words of others under theirs as well.

Two generations for one prompt may be a duel: people choose the one that they like better. In inline mode texts are
written before anybody has chosen one: such a result becomes *delivered* once somebody has. Telegram says so, if it is
asked to; where it does not, the first press of a button under the message shows it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from sqlite3 import Connection

from storage.db.database import count, first, read, records, value, write
from storage.db.errors import LimitReached
from storage.db.records import FinishReason, Generation, NewGeneration, TextSignal
from storage.tables import people
from storage.tables.people import CLOCK_STEP, HOUR, agreed

_GENERATIONS = """
    SELECT g.id, g.kind, g.chat, g.author, decrypted(g.messages) AS messages, g.seed, g.state, g.created_at,
        g.version, decrypted(g.text) AS text, g.parent, g.best_of, g.finish_reason, g.standing AS moderation_state,
        d.chat_id, d.thread_id, d.reply_to, d.message_id, d.language, d.is_channel, o.token AS inline_token,
        (SELECT json_group_array(message_id) FROM (
            SELECT m.message_id FROM further_messages m WHERE m.generation = g.id ORDER BY m.place
        )) AS further_messages
    FROM generations g JOIN deliveries d ON d.generation = g.id LEFT JOIN offers o ON o.generation = g.id
"""
_INLINE_MESSAGES_KEPT = 100
"""Of one text: it may be sent on without end, and a press under an older one brings it back."""
_UNFINISHED = "g.state IN ('accepted', 'placed', 'written') AND o.generation IS NULL"

_QUOTED = """
    WITH RECURSIVE above (author, parent) AS (
        SELECT author, parent FROM generations WHERE id = ?
        UNION SELECT g.author, g.parent FROM above a JOIN generations g ON g.id = a.parent
    )
    SELECT DISTINCT author FROM above WHERE author <> ?
"""
_CONSENTED_SIGNALS = f"""
    SELECT s.*, p.first_seen_at AS person_first_seen_at
    FROM doings s JOIN generations g ON g.id = s.generation JOIN people p ON p.person = s.person
    WHERE s.generation >= ? AND g.version IS NOT NULL
        AND {agreed("s.person")}
    ORDER BY s.generation, s.at, s.person
"""  # noqa: S608 - of our own
_DUEL_CHOICES = f"""
    SELECT c.generation AS chosen, d.rival AS rejected, c.rater, c.at, {agreed("c.rater")} AS consented
    FROM choices c JOIN duels d USING (generation) JOIN generations g ON g.id = c.generation
    JOIN generations r ON r.id = d.rival
    WHERE g.text IS NOT NULL AND g.state = 'delivered' AND r.state = 'delivered' ORDER BY c.at, c.generation, c.rater
"""  # noqa: S608 - of our own
_ABOUT_TEXTS = (
    "ratings", "rating_events", "reasons", "signals", "choices", "duels", "lineage", "deliveries", "reports",
    "fingerprints", "further_messages", "counted_reactions", "anonymous_reactions", "offers", "inline_messages",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FingerprintMatch:
    """The text that has most hashes of another's fingerprint."""

    generation: int
    shared: int


@dataclass(frozen=True, slots=True)
class DuelChoice:
    """One person likes `chosen` better than `rejected`, both by number."""

    chosen: int
    rejected: int
    rater: str
    at: datetime
    consented: bool
    """Both the author and the rater have opted in, in this chat, at this moment."""


@write
def accept(connection: Connection, new: NewGeneration, *, per_hour: int = 0) -> Generation | None:
    """Record a prompt, and what it says of its parent; None when its update was recorded before.

    Raises:
        LimitReached: the person has sent `per_hour` prompts within the hour; 0 is no limit.
    """
    (accepted,) = _accept_within(connection, (new,), per_hour)
    return accepted


def _accept_within(
    connection: Connection, new: Sequence[NewGeneration], per_hour: int
) -> tuple[Generation | None, ...]:
    """Record prompts of one person; None for each whose update was recorded before.

    They are recorded and counted in one transaction, so that the limit holds for prompts that come in many chats at
    once.
    """
    accepted = tuple(_accept(connection, prompt) for prompt in new)
    if per_hour and any(accepted):
        author, now = new[-1].author, new[-1].created_at
        if count_within_hour(connection, author, now) > per_hour:
            raise LimitReached
    return accepted


def _accept(connection: Connection, new: NewGeneration) -> Generation | None:
    people.see(connection, new.author, at=new.created_at)
    query = (
        "INSERT INTO generations (update_id, kind, chat, author, messages, parent, seed, created_at,"
        " quotes_stranger) VALUES (?, ?, ?, ?, encrypted(?, ?), ?, ?, ?, ?)"
        " ON CONFLICT (update_id) DO NOTHING RETURNING id"
    )
    messages = _encrypted_for_quoted(connection, new)
    values = (
        new.update_id, new.kind, new.chat, new.author, new.author, messages, new.parent, new.seed, new.created_at,
        new.quotes_stranger,
    )  # fmt: skip
    number = value(int, connection.execute(query, values))
    if number is None:
        return None
    to = new.delivery
    connection.execute(
        "INSERT INTO deliveries (generation, chat_id, thread_id, reply_to, language, is_channel)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (number, to.chat_id, to.thread_id, to.reply_to, to.language, to.is_channel),
    )
    if new.signal is not None and new.parent is not None:
        connection.execute(
            "INSERT INTO signals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (new.update_id, new.parent, new.author, new.signal, new.created_at),
        )
    return by_id(connection, number)


@write
def write_text(
    connection: Connection,
    generation: int,
    *,
    text: str,
    version: str,
    best_of: int = 1,
    finish_reason: FinishReason | None = None,
    hashes: Sequence[int] = (),
) -> bool:
    """The text is final, before anybody sees it: a restart will show this one and no other.

    `hashes` are its fingerprint: keyed, so that the text is found again by them, and nobody can read it.

    False: nobody waits for it any more, because it was stopped or forgotten; it must not be shown.
    """
    written = connection.execute(
        "UPDATE generations SET state = 'written', text = encrypted(author, ?), version = ?, best_of = ?,"
        " finish_reason = ?"
        " WHERE id = ? AND state = 'placed'",
        (text, version, best_of, finish_reason, generation),
    )
    if written.rowcount != 1:
        return False
    connection.executemany(
        "INSERT INTO fingerprints VALUES (?, ?) ON CONFLICT DO NOTHING", [(each, generation) for each in hashes]
    )
    return True


@write
def end(connection: Connection, generation: int, *, delivered: bool, at: datetime) -> None:
    """The generation has reached its last state: delivered, or failed."""
    state = "delivered" if delivered else "failed"
    connection.execute("UPDATE generations SET state = ?, delivered_at = ? WHERE id = ?", (state, at, generation))


@read
def by_id(connection: Connection, generation: int) -> Generation | None:
    """The generation with this number."""
    return first(Generation, connection.execute(f"{_GENERATIONS} WHERE g.id = ?", (generation,)))


@read
def by_message(connection: Connection, *, chat_id: int, message_id: int) -> Generation | None:
    """The generation that a message of ours shows; None for every other message."""
    query = "SELECT generation FROM shown_in WHERE chat_id = ? AND message_id = ?"
    number = value(int, connection.execute(query, (chat_id, message_id)))
    return None if number is None else by_id(connection, number)


@write
def add_further_message(connection: Connection, generation: int, *, chat_id: int, message_id: int) -> bool:
    """One more message is to go on with a text; from now on reactions to it find the text.

    False: the text is gone, so nobody waits for it any more.
    """
    added = connection.execute(
        "INSERT INTO further_messages"
        " SELECT g.id, (SELECT count(*) FROM further_messages WHERE generation = g.id), ?, ?"
        " FROM generations g WHERE g.id = ? AND g.text IS NOT NULL",
        (chat_id, message_id, generation),
    )
    return added.rowcount == 1


@read
def unfinished(connection: Connection) -> list[Generation]:
    """Accepted generations that have not reached their last state, oldest first; no inline results.

    Nobody waits for such a one any more when the process that wrote it has ended.
    """
    return records(Generation, connection.execute(f"{_GENERATIONS} WHERE {_UNFINISHED} ORDER BY g.id"))


@read
def count_unfinished(connection: Connection) -> int:
    """How many prompts wait for their answer."""
    query = f"SELECT count(*) FROM generations g LEFT JOIN offers o ON o.generation = g.id WHERE {_UNFINISHED}"  # noqa: S608
    return count(connection.execute(query))


@read
def count_within_hour(connection: Connection, author: str, now: datetime) -> int:
    """How many prompts a person has sent within the hour; what a clock that was ahead has dated does not count."""
    query = "SELECT count(*) FROM generations WHERE author = ? AND created_at BETWEEN ? AND ?"
    return count(connection.execute(query, (author, now - HOUR, now + CLOCK_STEP)))


@read
def delivered(connection: Connection, start: int = 0) -> list[Generation]:
    """The delivered generations from a number on, oldest first."""
    query = f"{_GENERATIONS} WHERE g.state = 'delivered' AND g.id >= ? ORDER BY g.id"
    return records(Generation, connection.execute(query, (start,)))


@read
def of_author(connection: Connection, author: str) -> list[Generation]:
    """Everything that a person has asked for, oldest first."""
    return records(Generation, connection.execute(f"{_GENERATIONS} WHERE g.author = ? ORDER BY g.id", (author,)))


@read
def latest_language_in(connection: Connection, chat_id: int) -> str | None:
    """The language of the last prompt in a chat; None where there was none."""
    query = "SELECT language FROM deliveries WHERE chat_id = ? ORDER BY generation DESC LIMIT 1"
    return value(str, connection.execute(query, (chat_id,)))


@read
def closest_fingerprint(connection: Connection, hashes: Sequence[int]) -> FingerprintMatch | None:
    """The text whose fingerprint has most of these hashes; None where no text has any."""
    found = connection.execute(
        "SELECT generation, count(*) AS shared FROM fingerprints WHERE hash IN (SELECT value FROM json_each(?))"
        " GROUP BY generation ORDER BY shared DESC, generation LIMIT 1",
        (json.dumps(list(hashes)),),
    )
    return first(FingerprintMatch, found)


@read
def consented_signals(connection: Connection, start: int) -> list[TextSignal]:
    """What people did with the generations from a number on: prompted anew, or chose in a duel. By generation.

    A signal is no rating: it is weaker, nobody sees it, and it cannot be taken back.
    """
    return records(TextSignal, connection.execute(_CONSENTED_SIGNALS, (start,)))


@write
def accept_duel(
    connection: Connection, one: NewGeneration, other: NewGeneration, *, per_hour: int = 0
) -> tuple[Generation, ...]:
    """Record a prompt for two texts, both or none; none when its update was recorded before. Raises as `accept` does,
    each text being a prompt."""
    texts = tuple(text for text in _accept_within(connection, (one, other), per_hour) if text is not None)
    if len(texts) == 2:
        a, b = texts
        connection.executemany("INSERT INTO duels VALUES (?, ?)", [(a.id, b.id), (b.id, a.id)])
    return texts


@write
def choose_in_duel(connection: Connection, generation: int, rater: str, *, at: datetime) -> Generation | None:
    """Like a text better than its rival, whatever was chosen before; returns the rival.

    None: there is no rival, or one of the two is not written yet, or never will be; nothing is recorded.
    """
    query = (
        "SELECT d.rival FROM duels d JOIN generations g ON g.id = d.generation JOIN generations r ON r.id = d.rival"
        " WHERE d.generation = ? AND g.state IN ('written', 'delivered') AND r.state IN ('written', 'delivered')"
    )
    rival = value(int, connection.execute(query, (generation,)))
    if rival is None:
        return None
    people.see(connection, rater, at=at)
    connection.execute("DELETE FROM choices WHERE generation = ? AND rater = ?", (rival, rater))
    connection.execute("INSERT INTO choices VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (generation, rater, at))
    return by_id(connection, rival)


@read
def duel_choices(connection: Connection) -> list[DuelChoice]:
    """Every choice that stands, oldest first."""
    return records(DuelChoice, connection.execute(_DUEL_CHOICES))


@write
def accept_inline_results(
    connection: Connection, new: Sequence[tuple[str, NewGeneration]], *, private_chat: str, per_hour: int = 0
) -> list[Generation]:
    """Record prompts of one person whose texts are to be offered, each with its token; `private_chat` is theirs.

    None of those whose update was recorded before. Raises as `accept` does, each text being a prompt.
    """
    accepted = []
    for (token, _), result in zip(
        new, _accept_within(connection, [prompt for _, prompt in new], per_hour), strict=True
    ):
        if result is not None:
            people.record_private_chat(connection, result.author, private_chat, at=result.created_at)
            connection.execute("UPDATE generations SET state = 'placed' WHERE id = ?", (result.id,))
            connection.execute("INSERT INTO offers VALUES (?, ?)", (result.id, token))
            accepted.append(by_id(connection, result.id))
    return [result for result in accepted if result is not None]


@read
def written_inline_results(connection: Connection, numbers: Sequence[int]) -> list[Generation]:
    """Those of the inline results that have their text, in order."""
    found = (by_id(connection, number) for number in numbers)
    return [result for result in found if result is not None and result.text is not None]


@write
def drop_inline_results(connection: Connection, numbers: Sequence[int], *, at: datetime) -> None:
    """Nobody waits for these inline results any more: those without a text lose their prompts as well."""
    connection.execute(
        "UPDATE generations SET state = 'failed', messages = '[]', delivered_at = ?"
        " WHERE state = 'placed' AND id IN (SELECT value FROM json_each(?))",
        (at, json.dumps(numbers)),
    )


@write
def choose_inline_result(connection: Connection, token: str, *, shown_in: str, at: datetime) -> Generation | None:
    """The result with this token stands in an inline message (its id); None where there is none, or no longer.

    One result may stand in many messages; the one that a message has shown first stays.
    """
    query = (
        "SELECT g.id FROM offers o JOIN generations g ON g.id = o.generation"
        " WHERE o.token = ? AND g.state IN ('written', 'delivered')"
    )
    number = value(int, connection.execute(query, (token,)))
    if number is None:
        return None
    connection.execute("INSERT INTO inline_messages VALUES (?, ?) ON CONFLICT DO NOTHING", (shown_in, number))
    connection.execute(
        "DELETE FROM inline_messages WHERE generation = ? AND inline_message_id <> ? AND rowid IN (SELECT rowid"
        " FROM inline_messages WHERE generation = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
        (number, shown_in, number, _INLINE_MESSAGES_KEPT),
    )
    connection.execute(
        "UPDATE generations SET state = 'delivered', delivered_at = ? WHERE id = ? AND state = 'written'", (at, number)
    )
    query = f"{_GENERATIONS} JOIN inline_messages m ON m.generation = g.id WHERE m.inline_message_id = ?"
    return first(Generation, connection.execute(query, (shown_in,)))


@read
def inline_messages_of(connection: Connection, generation: int, *, newest: int) -> list[str]:
    """The ids of the newest inline messages that show a result."""
    query = "SELECT inline_message_id FROM inline_messages WHERE generation = ? ORDER BY rowid DESC LIMIT ?"
    return [message_id for (message_id,) in connection.execute(query, (generation, newest))]


@write
def delete_unchosen_inline_results(connection: Connection, *, before: datetime) -> int:
    """Delete the inline results of up to a moment that nobody has chosen; returns how many."""
    unchosen = connection.execute(
        "SELECT g.id FROM generations g JOIN offers o ON o.generation = g.id"
        " WHERE g.state <> 'delivered' AND g.created_at <= ? ORDER BY g.id DESC",
        (before,),
    )
    return delete(connection, [number for (number,) in unchosen])


@write
def delete(connection: Connection, texts: Sequence[int]) -> int:
    """Delete texts and all that hangs on them, given the children first; returns how many.

    The highest number stays taken, by an empty row: buttons, and work in hand, know a text by its number alone, so a
    number must never be given to another text.
    """
    listed = (json.dumps(texts),)
    for table in _ABOUT_TEXTS:
        connection.execute(
            f"DELETE FROM {table} WHERE generation IN (SELECT value FROM json_each(?))",  # noqa: S608 - of our own
            listed,
        )
    connection.execute("DELETE FROM duels WHERE rival IN (SELECT value FROM json_each(?))", listed)
    (last,) = connection.execute("SELECT max(id) FROM generations").fetchone()
    if last in texts:
        connection.execute(
            "UPDATE generations SET state = 'failed', author = '', chat = '', kind = '', messages = '[]', text = NULL,"
            " version = NULL, parent = NULL, seed = 0, best_of = 1, finish_reason = NULL, likes = 0,"
            " dislikes = 0, standing = NULL, quotes_stranger = 0 WHERE id = ?",
            (last,),
        )
    connection.executemany("DELETE FROM generations WHERE id = ?", [(text,) for text in texts if text != last])
    connection.execute("DELETE FROM generations WHERE author = '' AND id < ?", (last,))
    return len(texts)


def _encrypted_for_quoted(connection: Connection, new: NewGeneration) -> str:
    """The conversation in JSON, encrypted once for each other person whose words it repeats, so that it becomes
    unreadable with the key of any of them."""
    messages = json.dumps([asdict(message) for message in new.messages], ensure_ascii=False)
    for (author,) in connection.execute(_QUOTED, (new.parent, new.author)).fetchall():
        (messages,) = connection.execute("SELECT encrypted(?, ?)", (author, messages)).fetchone()
    return messages
