"""Agreement: under which condition something that a person has said of a text may be learned from, now. Knows SQL.

Fingerprints of texts: keyed numbers by which a text is found again, and by which nobody can read it.

Signals: somebody wanted another text in the place of one, or a change to it, and so prompted anew; or has chosen
between two (`storage.tables.generations`).

A signal is not a rating: it is weaker, nobody sees it, and it cannot be taken back. Knows what was done, not what it
is worth.

Generations and their way to a person: accepted, placed, written, delivered. Knows texts, not what they mean.

What was asked and written lies encrypted under its author's key (`storage.db.keyring`), a conversation that repeats
words
of others under theirs as well.

Duels: two texts for one prompt, and which of the two people like better. Knows numbers of texts, nothing of theirs.

A person has one choice in a duel, the last one. It is kept like a signal: without consent for a day (`retention`), and
it teaches only where author and chooser agree.

Offers: takes that are written before anybody has chosen one, and the inline messages that show those that were.

A take becomes *delivered* once somebody has chosen it. Telegram says so, if it is asked to; where it does not, the
first press under the message tells the same. One take may stand in many messages. Knows tokens, no Telegram type.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from storage.db.database import Database
from storage.db.records import ChatMessage, Delivery, Generation, NewGeneration, PromptSignal, TextSignal

_ABOUT_TEXTS = (
    "ratings", "rating_events", "reasons", "signals", "choices", "duels", "lineage", "deliveries", "reports",
    "fingerprints", "counted_reactions", "anonymous_reactions", "offers", "inline_messages",
)  # fmt: skip


INLINE_TEXT = 2
"""The first version of the consent text that speaks of inline mode; who has agreed to an earlier one agreed to less."""


_IS_OFFERED = "EXISTS (SELECT 1 FROM offers o WHERE o.generation = g.id)"


def opted_in(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: their yes counts for that text, now.

    The yes of the chat where the text stands. Of a take of inline mode nobody knows where it stands, so there it is the
    one of the person's own private chat, if it was given to a question that spoke of inline mode.
    """
    return f"""EXISTS (
        SELECT 1 FROM consents c WHERE c.person = {person} AND c.revoked_at IS NULL
            AND c.chat = CASE WHEN {_IS_OFFERED}
                THEN (SELECT h.chat FROM homes h WHERE h.person = {person}) ELSE g.chat END
            AND (c.text_version >= {INLINE_TEXT} OR NOT {_IS_OFFERED})
    )"""  # noqa: S608 - of our own


def agreed(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: a rater, or who gave a signal.

    They and the author have opted in; so has everybody whose words the text repeats; none of them is shut out; the text
    still has its words, and no report hides it.
    """
    return f"""(
        {opted_in("g.author")} AND {opted_in(person)}
        AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, {person}))
        AND g.text IS NOT NULL AND coalesce(g.standing, 'cleared') = 'cleared'
        AND g.id NOT IN (SELECT id FROM quoting)
    )"""  # noqa: S608 - of our own


_CLOSEST = """
    SELECT generation, count(*) AS shared FROM fingerprints WHERE hash IN (SELECT value FROM json_each(?))
    GROUP BY generation ORDER BY shared DESC, generation LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class FingerprintMatch:
    """The text that shares most with another."""

    generation: int
    shared: int
    """Numbers that both have."""


def record_fingerprint(connection: sqlite3.Connection, generation: int, marks: Sequence[int]) -> None:
    """Keep a text's fingerprint, as a part of a transaction."""
    connection.executemany(
        "INSERT INTO fingerprints VALUES (?, ?) ON CONFLICT DO NOTHING", [(mark, generation) for mark in marks]
    )


async def closest_fingerprint(db: Database, marks: Sequence[int]) -> FingerprintMatch | None:
    """The text whose fingerprint has most of these numbers; None where no text has any."""
    row = await db.read(lambda c: c.execute(_CLOSEST, (json.dumps(list(marks)),)).fetchone())
    return None if row is None else FingerprintMatch(row["generation"], row["shared"])


_CONSENTED_SIGNALS = f"""
    SELECT s.*, p.first_seen_at
    FROM doings s JOIN generations g ON g.id = s.generation JOIN people p ON p.person = s.person
    WHERE s.generation >= ? AND g.version IS NOT NULL
        AND {agreed("s.person")}
    ORDER BY s.generation, s.at, s.person
"""  # noqa: S608 - of our own


def record_signal(
    connection: sqlite3.Connection, update_id: int, generation: int, person: str, signal: PromptSignal, *, at: datetime
) -> None:
    """Record a signal as a part of a transaction; a repeated update changes nothing."""
    connection.execute(
        "INSERT INTO signals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (update_id, generation, person, signal, at.isoformat()),
    )


def consented_signals_since(connection: sqlite3.Connection, first: int) -> list[TextSignal]:
    """The signals on the generations from a number on; author and person have opted in, in that chat. By generation."""
    return [
        TextSignal(
            generation=row["generation"],
            person=row["person"],
            signal=row["signal"],
            at=datetime.fromisoformat(row["at"]),
            person_first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
        )
        for row in connection.execute(_CONSENTED_SIGNALS, (first,))
    ]


_COLUMNS = """
    SELECT g.id, g.kind, g.chat, g.author, decrypted(g.messages) AS messages, g.seed, g.state, g.created_at,
        g.version, decrypted(g.text) AS text, g.parent, g.best_of, g.standing,
        d.chat_id, d.thread_id, d.reply_to, d.message_id, d.language, d.is_channel, o.token
    FROM generations g JOIN deliveries d ON d.generation = g.id LEFT JOIN offers o ON o.generation = g.id
"""

_UNFINISHED = "g.state IN ('accepted', 'placed', 'written')"

_QUOTED = """
    WITH RECURSIVE above (author, parent) AS (
        SELECT author, parent FROM generations WHERE id = ?
        UNION SELECT g.author, g.parent FROM above a JOIN generations g ON g.id = a.parent
    )
    SELECT DISTINCT author FROM above WHERE author <> ?
"""


async def accept(db: Database, new: NewGeneration) -> Generation | None:
    """Record a prompt, and what it says of its parent; None when its update was recorded before."""
    return await db.write(lambda c: accept_in(c, new))


def accept_in(connection: sqlite3.Connection, new: NewGeneration) -> Generation | None:
    """`accept` as a part of a transaction."""
    connection.execute(
        "INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING",
        (new.author, new.created_at.isoformat()),
    )
    cursor = connection.execute(
        "INSERT INTO generations (update_id, kind, chat, author, messages, parent, seed, created_at)"
        " VALUES (?, ?, ?, ?, encrypted(?, ?), ?, ?, ?) ON CONFLICT (update_id) DO NOTHING",
        (
            new.update_id,
            new.kind,
            new.chat,
            new.author,
            new.author,
            _under_keys_of_quoted(connection, new),
            new.parent,
            new.seed,
            new.created_at.isoformat(),
        ),
    )
    if cursor.rowcount != 1 or cursor.lastrowid is None:
        return None
    to = new.delivery
    connection.execute(
        "INSERT INTO deliveries (generation, chat_id, thread_id, reply_to, language, is_channel)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (cursor.lastrowid, to.chat_id, to.thread_id, to.reply_to, to.language, to.is_channel),
    )
    if new.signal is not None and new.parent is not None:
        record_signal(connection, new.update_id, new.parent, new.author, new.signal, at=new.created_at)
    return with_id(connection, cursor.lastrowid)


async def write_text(
    db: Database, generation: int, *, text: str, version: str, best_of: int = 1, marks: Sequence[int] = ()
) -> bool:
    """The text is final, before anybody sees it: a restart will show this one and no other. `marks` is its fingerprint.

    False: nobody waits for it any more, because it was stopped or forgotten; it must not be shown.
    """

    def write(connection: sqlite3.Connection) -> bool:
        written = connection.execute(
            "UPDATE generations SET state = 'written', text = encrypted(author, ?), version = ?, best_of = ?"
            " WHERE id = ? AND state = 'placed'",
            (text, version, best_of, generation),
        )
        if written.rowcount != 1:
            return False
        record_fingerprint(connection, generation, marks)
        return True

    return await db.write(write)


async def end(db: Database, generation: int, *, delivered: bool, at: datetime) -> None:
    """The generation has reached its last state: delivered, or failed."""
    await db.write(
        lambda c: c.execute(
            "UPDATE generations SET state = ?, delivered_at = ? WHERE id = ?",
            ("delivered" if delivered else "failed", at.isoformat(), generation),
        )
    )


async def unfinished(db: Database) -> list[Generation]:
    """Accepted generations that have not reached their last state, oldest first; no takes of inline mode.

    Nobody waits for such a take any more when the process that wrote it has ended.
    """
    return await db.read(
        lambda c: [
            _generation(row)
            for row in c.execute(f"{_COLUMNS} WHERE {_UNFINISHED} AND o.generation IS NULL ORDER BY g.id")
        ]
    )


async def count_unfinished(db: Database) -> int:
    """How many prompts wait for their answer."""
    row = await db.read(
        lambda c: c.execute(
            f"SELECT count(*) FROM generations g LEFT JOIN offers o ON o.generation = g.id"  # noqa: S608 - of our own
            f" WHERE {_UNFINISHED} AND o.generation IS NULL"
        ).fetchone()
    )
    return int(row[0])


async def by_id(db: Database, generation: int) -> Generation | None:
    """The generation with this number."""
    return await db.read(lambda c: with_id(c, generation))


def with_id(connection: sqlite3.Connection, generation: int) -> Generation | None:
    """`by_id` as a part of a transaction."""
    return _one(connection, "g.id = ?", generation)


async def by_message(db: Database, *, chat_id: int, message_id: int) -> Generation | None:
    """The generation that a message of ours shows; None for every other message."""
    return await db.read(lambda c: in_message(c, chat_id=chat_id, message_id=message_id))


def in_message(connection: sqlite3.Connection, *, chat_id: int, message_id: int) -> Generation | None:
    """`by_message` as a part of a transaction."""
    return _one(connection, "d.chat_id = ? AND d.message_id = ?", chat_id, message_id)


async def count_since(db: Database, author: str, *, since: datetime) -> int:
    """How many prompts a person has sent since a moment."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT count(*) FROM generations WHERE author = ? AND created_at >= ?",
            (author, since.isoformat()),
        ).fetchone()
    )
    return int(row[0])


async def latest_language_in(db: Database, chat_id: int) -> str | None:
    """The language of the last prompt in a chat; None where there was none."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT language FROM deliveries WHERE chat_id = ? ORDER BY generation DESC LIMIT 1", (chat_id,)
        ).fetchone()
    )
    return None if row is None else str(row["language"])


def delivered(connection: sqlite3.Connection) -> list[Generation]:
    """Every delivered generation, oldest first, for the export."""
    return delivered_since(connection, 0)


def delivered_since(connection: sqlite3.Connection, first: int) -> list[Generation]:
    """The delivered generations from a number on, oldest first."""
    rows = connection.execute(f"{_COLUMNS} WHERE g.state = 'delivered' AND g.id >= ? ORDER BY g.id", (first,))
    return [_generation(row) for row in rows]


def _under_keys_of_quoted(connection: sqlite3.Connection, new: NewGeneration) -> str:
    """The conversation in JSON, encrypted once for each other person whose words it repeats, so that it becomes
    unreadable with the key of any of them."""
    value = json.dumps([asdict(turn) for turn in new.messages], ensure_ascii=False)
    for (author,) in connection.execute(_QUOTED, (new.parent, new.author)).fetchall():
        (value,) = connection.execute("SELECT encrypted(?, ?)", (author, value)).fetchone()
    return value


def of_author(connection: sqlite3.Connection, author: str) -> list[Generation]:
    """Everything that a person has asked for, oldest first."""
    rows = connection.execute(f"{_COLUMNS} WHERE g.author = ? ORDER BY g.id", (author,))
    return [_generation(row) for row in rows]


def _one(connection: sqlite3.Connection, condition: str, *values: int) -> Generation | None:
    row = connection.execute(f"{_COLUMNS} WHERE {condition}", values).fetchone()
    return None if row is None else _generation(row)


def _generation(row: sqlite3.Row) -> Generation:
    return Generation(
        id=row["id"],
        kind=row["kind"],
        chat=row["chat"],
        author=row["author"],
        messages=tuple(ChatMessage(**turn) for turn in json.loads(row["messages"] or "[]")),
        seed=row["seed"],
        state=row["state"],
        created_at=datetime.fromisoformat(row["created_at"]),
        delivery=Delivery(
            chat_id=row["chat_id"],
            reply_to=row["reply_to"],
            language=row["language"],
            thread_id=row["thread_id"],
            message_id=row["message_id"],
            is_channel=bool(row["is_channel"]),
        ),
        version=row["version"],
        text=row["text"],
        parent=row["parent"],
        best_of=row["best_of"],
        moderation_state=row["standing"],
        inline_token=row["token"],
    )


_PAIRS = f"""
    SELECT c.generation, d.rival, c.rater, c.at, {agreed("c.rater")} AS consented
    FROM choices c JOIN duels d USING (generation) JOIN generations g ON g.id = c.generation
    JOIN generations r ON r.id = d.rival
    WHERE g.text IS NOT NULL AND g.state = 'delivered' AND r.state = 'delivered' ORDER BY c.at, c.generation, c.rater
"""  # noqa: S608 - of our own


@dataclass(frozen=True, slots=True)
class DuelChoice:
    """A choice: one person likes `chosen` better than `rejected`, both by number."""

    chosen: int
    rejected: int
    rater: str
    at: str
    consented: bool
    """Both the author and the rater have opted in, in this chat, at this moment."""


async def accept_duel(db: Database, first: NewGeneration, second: NewGeneration) -> tuple[Generation, ...]:
    """Record a prompt for two texts, both or none; none when its update was recorded before."""

    def insert(connection: sqlite3.Connection) -> tuple[Generation, ...]:
        pair = tuple(accept_in(connection, new) for new in (first, second))
        texts = tuple(text for text in pair if text is not None)
        if len(texts) == 2:
            one, other = texts
            connection.executemany("INSERT INTO duels VALUES (?, ?)", [(one.id, other.id), (other.id, one.id)])
        return texts

    return await db.write(insert)


async def choose_in_duel(db: Database, generation: int, rater: str, *, at: datetime) -> Generation | None:
    """Like a text better than its rival, whatever was chosen before; returns the rival.

    None: there is no rival, or one of the two is not written yet, or never will be; nothing is recorded.
    """

    def record(connection: sqlite3.Connection) -> Generation | None:
        row = connection.execute(
            "SELECT d.rival FROM duels d JOIN generations g ON g.id = d.generation JOIN generations r ON r.id = d.rival"
            " WHERE d.generation = ? AND g.state IN ('written', 'delivered') AND r.state IN ('written', 'delivered')",
            (generation,),
        ).fetchone()
        if row is None:
            return None
        connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (rater, at.isoformat()))
        connection.execute("DELETE FROM choices WHERE generation = ? AND rater = ?", (row["rival"], rater))
        connection.execute(
            "INSERT INTO choices VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (generation, rater, at.isoformat())
        )
        return with_id(connection, row["rival"])

    return await db.write(record)


def duel_choices(connection: sqlite3.Connection) -> list[DuelChoice]:
    """Every choice that stands, oldest first, for the export."""
    return [DuelChoice(row[0], row[1], row[2], row[3], bool(row[4])) for row in connection.execute(_PAIRS)]


_UNCHOSEN = """
    SELECT g.id FROM generations g JOIN offers o ON o.generation = g.id
    WHERE g.state <> 'delivered' AND g.created_at <= :before ORDER BY g.id DESC
"""


async def accept_inline_results(
    db: Database, takes: Sequence[tuple[str, NewGeneration]], *, home: str
) -> list[Generation]:
    """Record prompts whose texts are to be offered, each with its token; `home` is their author's private chat.

    None of those whose update was recorded before.
    """

    def insert(connection: sqlite3.Connection) -> list[Generation]:
        accepted = []
        for token, new in takes:
            if (take := accept_in(connection, new)) is not None:
                note_home_in(connection, new.author, home, at=new.created_at)
                connection.execute("UPDATE generations SET state = 'placed' WHERE id = ?", (take.id,))
                connection.execute("INSERT INTO offers VALUES (?, ?)", (take.id, token))
                accepted.append(with_id(connection, take.id))
        return [take for take in accepted if take is not None]

    return await db.write(insert)


async def written_inline_results(db: Database, numbers: Sequence[int]) -> list[Generation]:
    """Those of the takes that have their text, in order."""

    def read(connection: sqlite3.Connection) -> list[Generation]:
        found = (with_id(connection, number) for number in numbers)
        return [take for take in found if take is not None and take.text is not None]

    return await db.read(read)


async def drop_inline_results(db: Database, numbers: Sequence[int], *, at: datetime) -> None:
    """Nobody waits for these takes any more: those without a text lose their prompts as well."""
    await db.write(
        lambda c: c.execute(
            "UPDATE generations SET state = 'failed', messages = '[]', delivered_at = ?"
            " WHERE state = 'placed' AND id IN (SELECT value FROM json_each(?))",
            (at.isoformat(), json.dumps(numbers)),
        )
    )


async def choose_inline_result(db: Database, token: str, *, shown_in: str, at: datetime) -> Generation | None:
    """The take with this token stands in an inline message; None where there is none, or no longer."""

    def record(connection: sqlite3.Connection) -> Generation | None:
        row = connection.execute(
            "SELECT g.id FROM offers o JOIN generations g ON g.id = o.generation"
            " WHERE o.token = ? AND g.state IN ('written', 'delivered')",
            (token,),
        ).fetchone()
        if row is None:
            return None
        connection.execute("INSERT INTO inline_messages VALUES (?, ?) ON CONFLICT DO NOTHING", (shown_in, row["id"]))
        connection.execute(
            "UPDATE generations SET state = 'delivered', delivered_at = ? WHERE id = ? AND state = 'written'",
            (at.isoformat(), row["id"]),
        )
        return by_inline_message(connection, shown_in)

    return await db.write(record)


def by_inline_message(connection: sqlite3.Connection, inline_message_id: str) -> Generation | None:
    """The take that an inline message shows, as a part of a transaction."""
    row = connection.execute(
        "SELECT generation FROM inline_messages WHERE inline_message_id = ?", (inline_message_id,)
    ).fetchone()
    return None if row is None else with_id(connection, row["generation"])


async def inline_messages_of(db: Database, generation: int, *, newest: int) -> list[str]:
    """The newest of the inline messages that show a take."""
    rows = await db.read(
        lambda c: c.execute(
            "SELECT inline_message_id FROM inline_messages WHERE generation = ? ORDER BY rowid DESC LIMIT ?",
            (generation, newest),
        ).fetchall()
    )
    return [row["inline_message_id"] for row in rows]


async def record_private_chat(db: Database, person: str, home: str, *, at: datetime) -> None:
    """Remember which chat is a person's private one."""
    await db.write(lambda c: note_home_in(c, person, home, at=at))


def note_home_in(connection: sqlite3.Connection, person: str, home: str, *, at: datetime) -> None:
    """`record_private_chat` as a part of a transaction."""
    connection.execute("INSERT INTO homes VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (person, home, at.isoformat()))


def purge_unchosen_inline_results(connection: sqlite3.Connection, *, before: datetime) -> int:
    """Delete the takes of up to a moment that nobody has chosen, as a part of a transaction; returns how many."""
    unchosen = tuple(number for (number,) in connection.execute(_UNCHOSEN, {"before": before.isoformat()}))
    if unchosen:
        delete_texts(connection, unchosen)
    return len(unchosen)


def delete_texts(connection: sqlite3.Connection, texts: tuple[int, ...]) -> None:
    """Texts and all that hangs on them, given the children first, as a part of a transaction.

    The highest number stays taken, by an empty row: buttons, and work in hand, know a text by its number alone, so a
    number must never be given to another text.
    """
    for table in _ABOUT_TEXTS:
        connection.execute(
            f"DELETE FROM {table} WHERE generation IN (SELECT value FROM json_each(?))",  # noqa: S608 - of our own
            (json.dumps(texts),),
        )
    connection.execute("DELETE FROM duels WHERE rival IN (SELECT value FROM json_each(?))", (json.dumps(texts),))
    (last,) = connection.execute("SELECT max(id) FROM generations").fetchone()
    if last in texts:
        connection.execute(
            "UPDATE generations SET state = 'failed', author = '', chat = '', kind = '', messages = '[]', text = NULL,"
            " version = NULL, parent = NULL, seed = 0, best_of = 1, likes = 0, dislikes = 0, standing = NULL"
            " WHERE id = ?",
            (last,),
        )
    connection.executemany("DELETE FROM generations WHERE id = ?", [(text,) for text in texts if text != last])
    connection.execute("DELETE FROM generations WHERE author = '' AND id < ?", (last,))
