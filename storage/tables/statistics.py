"""Numbers about what was written and how it was liked, by version, kind, day and emoji; and a chat's best texts."""

from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Connection

from storage.db.database import read
from storage.db.records import Tally

_LIKES = """
    g.likes + coalesce(sum(r.value > 0), 0) AS liked, g.dislikes + coalesce(sum(r.value < 0), 0) AS disliked
"""
_TOP = f"""
    SELECT g.id, decrypted(g.text) AS text, d.chat_id, d.message_id, {_LIKES}
    FROM generations g JOIN deliveries d ON d.generation = g.id LEFT JOIN ratings r ON r.generation = g.id
    WHERE g.chat = :chat AND g.state = 'delivered' AND g.delivered_at >= :since AND g.text IS NOT NULL
        AND coalesce(g.standing, 'cleared') = 'cleared' AND d.message_id IS NOT NULL
    GROUP BY g.id HAVING liked > disliked
    ORDER BY liked - disliked DESC, liked DESC, g.id DESC LIMIT :most
"""  # noqa: S608 - of our own
_TALLIED = f"""
    WITH tallied AS (
        SELECT g.id, g.version, g.kind, substr(g.created_at, 1, 10) AS day, {_LIKES}
        FROM generations g LEFT JOIN ratings r ON r.generation = g.id
        WHERE g.state = 'delivered' AND g.version IS NOT NULL AND g.created_at >= :since
            AND (:chat IS NULL OR g.chat = :chat)
        GROUP BY g.id
    )
"""  # noqa: S608 - of our own
_EMOJI = """
    SELECT r.emoji, count(*) AS times FROM ratings r JOIN generations g ON g.id = r.generation
    WHERE r.source = 'reaction' AND r.emoji <> '' AND g.created_at >= :since AND (:chat IS NULL OR g.chat = :chat)
    GROUP BY r.emoji ORDER BY times DESC, r.emoji
"""
_UNNAMED = """
    SELECT e.key AS emoji, sum(e.value) AS times
    FROM (
        SELECT generation, totals FROM counted_reactions UNION ALL SELECT generation, change FROM anonymous_reactions
    ) n JOIN generations g ON g.id = n.generation, json_each(n.totals) e
    WHERE g.created_at >= :since AND (:chat IS NULL OR g.chat = :chat)
    GROUP BY e.key HAVING sum(e.value) > 0 ORDER BY times DESC, emoji
"""


@dataclass(frozen=True, slots=True)
class RatingCount:
    """Texts of one version, kind or day, and the verdicts on them; one person has one verdict on a text."""

    label: str
    texts: int
    likes: int
    dislikes: int

    @property
    def ratings(self) -> int:
        """How many verdicts there are."""
        return self.likes + self.dislikes

    @property
    def share(self) -> float | None:
        """Likes among the ratings, the satisfaction; None where there are none."""
        return self.likes / self.ratings if self.ratings else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was delivered since a moment."""

    versions: tuple[RatingCount, ...]
    """In the order in which they first wrote."""
    kinds: tuple[RatingCount, ...]
    """The most used first."""
    days: tuple[RatingCount, ...]
    """In UTC, by the day of the text, oldest first; days without a text are left out."""
    emoji: tuple[tuple[str, int], ...]
    """Reactions that stand, the most frequent first."""
    unnamed: tuple[tuple[str, int], ...]
    """Reactions that Telegram counts without a name, and those of anonymous admins: in none of the other numbers."""

    @property
    def texts(self) -> int:
        """How many there are."""
        return sum(day.texts for day in self.days)

    @property
    def ratings(self) -> int:
        """How many verdicts stand."""
        return sum(day.ratings for day in self.days)


@dataclass(frozen=True, slots=True)
class TopText:
    """A text that more people like than not, and the message that shows it."""

    generation: int
    text: str
    chat_id: int
    """Where the message is: after a move of the chat it has another id than the chat now."""
    message_id: int
    tally: Tally


@read
def read_statistics(connection: Connection, *, since: datetime, chat: str | None = None) -> Statistics:
    """The numbers of one chat (a pseudonym), or of all. Ratings that have become numbers count, but for their emoji."""
    values = {"since": since, "chat": chat}

    def by(column: str, order: str) -> tuple[RatingCount, ...]:
        rows = connection.execute(
            f"{_TALLIED} SELECT {column}, count(*), sum(liked), sum(disliked) FROM tallied"  # noqa: S608 - of our own
            f" GROUP BY {column} ORDER BY {order}",
            values,
        )
        return tuple(RatingCount(*row) for row in rows)

    return Statistics(
        versions=by("version", "min(id)"),
        kinds=by("kind", "count(*) DESC, kind"),
        days=by("day", "day"),
        emoji=tuple((emoji, times) for emoji, times in connection.execute(_EMOJI, values)),
        unnamed=tuple((emoji, times) for emoji, times in connection.execute(_UNNAMED, values)),
    )


@read
def top_texts(connection: Connection, chat: str, *, since: datetime, most: int) -> list[TopText]:
    """The texts of a chat (a pseudonym) since a moment, by likes less dislikes, best first; no hidden ones."""
    rows = connection.execute(_TOP, {"chat": chat, "since": since, "most": most})
    return [
        TopText(number, text, chat_id, message_id, Tally(likes, dislikes))
        for number, text, chat_id, message_id, likes, dislikes in rows
        if text is not None
    ]
