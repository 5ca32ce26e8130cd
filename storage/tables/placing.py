"""Where a generation stands in a chat, and the reactions that were faster than our note of it.

A reaction can arrive before the id of the message that it is on is committed: Telegram sends messages and reactions
by different ways. Such a one is kept while its chat waits for a message of ours, and counted once that stands.
Everything else that people react to is nobody's business here and is not kept.
"""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Generation, RatingEvent, Reaction
from storage.tables import generations, ratings

_UNPLACED = """
    SELECT 1 FROM deliveries d JOIN generations g ON g.id = d.generation
    WHERE d.chat_id = ? AND d.message_id IS NULL AND g.state = 'accepted' LIMIT 1
"""


async def place(db: Database, generation: int, *, message_id: int) -> bool:
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


async def react(db: Database, reaction: Reaction) -> Generation | None:
    """Record a reaction on a message of ours; None, and nothing kept, where the message shows no generation."""

    def record(connection: sqlite3.Connection) -> Generation | None:
        found = generations.in_message(connection, chat_id=reaction.chat_id, message_id=reaction.message_id)
        if found is not None:
            ratings.record_in(connection, _event(reaction, found.id))
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
        ratings.record_in(connection, _event(early, generation))
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
