"""Retention: what is not agreed to is kept for a day, and what is agreed to for a while; both are then deleted.

Without consent of all whose words are in a text, the words go and the row stays, so that buttons under old messages
have an answer; a rating without consent becomes a number.
"""

import json
from collections.abc import Collection
from datetime import datetime
from sqlite3 import Connection

from storage.db.database import write
from storage.tables import generations
from storage.tables.people import opted_in

_UNCONSENTED_TEXTS = f"""
    UPDATE generations AS g SET messages = '[]', text = NULL
    WHERE state IN ('delivered', 'failed') AND delivered_at <= :before AND messages <> '[]' AND author <> ''
        AND (id IN (SELECT id FROM quoting) OR NOT {opted_in("g.author")})
"""  # noqa: S608 - of our own
_UNCONSENTED_RATINGS = f"""
    SELECT r.generation, r.rater, r.value FROM ratings r JOIN generations g ON g.id = r.generation
    WHERE r.at <= :before AND NOT {opted_in("r.rater")}
"""  # noqa: S608 - of our own
_UNCONSENTED_SIGNALS = tuple(
    f"""
    DELETE FROM {table} AS s WHERE s.at <= :before AND NOT EXISTS (
        SELECT 1 FROM generations g WHERE g.id = s.generation AND {opted_in(f"s.{who}")})
"""  # noqa: S608 - of our own
    for table, who in (("signals", "person"), ("choices", "rater"))
)
_UNREACHABLE = """
    SELECT g.id FROM deliveries d JOIN generations g ON g.id = d.generation
    WHERE d.chat_id <> 0 AND d.chat_id NOT IN (SELECT value FROM json_each(:keep)) AND g.text IS NULL AND (
        (g.state = 'failed' AND g.delivered_at <= :failed)
        OR (g.state = 'delivered' AND g.delivered_at <= :delivered AND coalesce(g.standing, '') <> 'reported'))
"""
_OLD = """
    SELECT id FROM generations WHERE created_at < :before AND state IN ('delivered', 'failed') AND author <> ''
        AND id NOT IN (
            SELECT l.generation FROM lineage l JOIN versions v ON v.run = l.run WHERE v.destroyed_at IS NULL)
"""


@write
def purge_unconsented(connection: Connection, *, before: datetime) -> tuple[int, int]:
    """Take the words out of texts that ended up to a moment, and the raters from ratings given until then, where
    somebody concerned has not agreed; returns how many texts and ratings that were. Inline results that nobody has
    chosen go whole, and count as texts.

    Who rates again after their rating has become a number is counted twice under the text.
    """
    values = {"before": before}
    texts = generations.delete_unchosen_inline_results(connection, before=before)
    texts += connection.execute(_UNCONSENTED_TEXTS, values).rowcount
    rated = connection.execute(_UNCONSENTED_RATINGS, values).fetchall()
    for generation, rater, value in rated:
        connection.execute(
            "UPDATE generations SET likes = likes + ?, dislikes = dislikes + ? WHERE id = ?",
            ((value or 0) > 0, (value or 0) < 0, generation),
        )
        for table in ("ratings", "rating_events", "reasons"):
            connection.execute(
                f"DELETE FROM {table} WHERE generation = ? AND rater = ?",  # noqa: S608 - of our own
                (generation, rater),
            )
    for statement in _UNCONSENTED_SIGNALS:
        connection.execute(statement, values)
    return texts, len(rated)


@write
def drop_addresses(
    connection: Connection, *, failed_before: datetime, delivered_before: datetime, keep: Collection[int] = ()
) -> int:
    """Take Telegram's ids from texts without words that ended up to a moment; returns how many.

    Reactions and presses no longer find them then, and nobody can tell in which chat they were.

    Texts that still have their words keep the ids: people refine and rate them. `keep` are chats whose rows stay.
    """
    values = {"failed": failed_before, "delivered": delivered_before, "keep": json.dumps(list(keep))}
    gone = json.dumps([number for (number,) in connection.execute(_UNREACHABLE, values)])
    connection.execute("DELETE FROM further_messages WHERE generation IN (SELECT value FROM json_each(?))", (gone,))
    dropped = connection.execute(
        "UPDATE deliveries SET chat_id = 0, thread_id = NULL, reply_to = 0, message_id = NULL"
        " WHERE generation IN (SELECT value FROM json_each(?))",
        (gone,),
    )
    return dropped.rowcount


@write
def delete_expired(connection: Connection, *, before: datetime) -> int:
    """Delete texts that were asked for before a moment, with all that was said of them; returns how many.

    What a version has learned from stays as long as the version, so that forgetting somebody still finds it.
    """
    old = [number for (number,) in connection.execute(_OLD, {"before": before})]
    connection.execute(
        "UPDATE generations SET parent = NULL WHERE parent IN (SELECT value FROM json_each(?))", (json.dumps(old),)
    )
    return generations.delete(connection, old)
