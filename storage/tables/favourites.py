"""The best-loved texts of a chat, by the ratings that stand. Knows numbers, not what an emoji means."""

from dataclasses import dataclass
from datetime import datetime

from storage.db.database import Database
from storage.db.records import Tally

_BEST = """
    SELECT g.id, decrypted(g.text) AS text, d.chat_id, d.message_id,
        g.likes + coalesce(sum(r.value > 0), 0) AS liked, g.dislikes + coalesce(sum(r.value < 0), 0) AS disliked
    FROM generations g JOIN deliveries d ON d.generation = g.id LEFT JOIN ratings r ON r.generation = g.id
    WHERE g.chat = :chat AND g.state = 'delivered' AND g.delivered_at >= :since AND g.text IS NOT NULL
        AND coalesce(g.standing, 'cleared') = 'cleared' AND d.message_id IS NOT NULL
    GROUP BY g.id HAVING liked > disliked
    ORDER BY liked - disliked DESC, liked DESC, g.id DESC LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class Favourite:
    """A text that more people like than not, and the message that shows it."""

    generation: int
    text: str
    chat_id: int
    """Where the message is: after a move of the chat it has another id than the chat now."""
    message_id: int
    tally: Tally


async def best_loved(db: Database, chat: str, *, since: datetime, most: int) -> list[Favourite]:
    """The texts of a chat (a pseudonym) since a moment, by likes less dislikes, best first; no hidden ones."""
    values = {"chat": chat, "since": since.isoformat(), "most": most}
    rows = await db.read(lambda c: c.execute(_BEST, values).fetchall())
    return [
        Favourite(row["id"], row["text"], row["chat_id"], row["message_id"], Tally(row["liked"], row["disliked"]))
        for row in rows
        if row["text"] is not None
    ]
