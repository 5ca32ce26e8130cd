"""Everything that there is of one person, for them to read."""

from dataclasses import dataclass
from sqlite3 import Connection

from storage.db.database import read
from storage.db.records import Generation
from storage.tables import generations
from storage.tables.runs import TRAINED_ON

Row = dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalData:
    """What is stored of a person, oldest first; chats and other people by pseudonym."""

    first_seen_at: str | None
    is_banned: bool
    consents: tuple[Row, ...]
    texts: tuple[Generation, ...]
    """What they asked for, with what was written."""
    ratings: tuple[Row, ...]
    rating_events: tuple[Row, ...]
    reasons: tuple[Row, ...]
    signals: tuple[Row, ...]
    choices: tuple[Row, ...]
    """Which of two texts they liked better."""
    reports: tuple[Row, ...]
    """What they have reported."""
    preferences: tuple[Row, ...]
    inline_messages: tuple[Row, ...]
    """Telegram's ids of messages elsewhere that show their texts."""
    homes: tuple[Row, ...]
    """Their private chat with the bot, once they have used inline mode."""
    versions: tuple[Row, ...]
    """The versions that have learned from them, or from what others said to their texts."""


_ROWS = {
    "consents": "SELECT chat, text_version, granted_at, revoked_at FROM consents WHERE person = :person"
    " ORDER BY granted_at",
    "ratings": "SELECT generation, source, value, emoji, at FROM ratings WHERE rater = :person AND value IS NOT NULL"
    " ORDER BY at",
    "rating_events": "SELECT generation, source, value, emoji, at, folded FROM rating_events WHERE rater = :person"
    " ORDER BY at",
    "reasons": "SELECT generation, reason, at FROM reasons WHERE rater = :person ORDER BY at",
    "signals": "SELECT generation, signal, at FROM signals WHERE person = :person ORDER BY at",
    "choices": "SELECT generation, rival, at FROM choices JOIN duels USING (generation) WHERE rater = :person"
    " ORDER BY at",
    "reports": "SELECT generation, at FROM reports WHERE reporter = :person ORDER BY at",
    "preferences": "SELECT chat, name, value, at FROM preferences WHERE person = :person ORDER BY at",
    "inline_messages": "SELECT m.generation, m.inline_message_id FROM inline_messages m"
    " JOIN generations g ON g.id = m.generation WHERE g.author = :person ORDER BY m.rowid",
    "homes": "SELECT chat, at FROM homes WHERE person = :person",
    "versions": "SELECT v.name, v.base, v.state, v.created_at, r.tainted_at, v.destroyed_at"  # noqa: S608 - of our own
    f" FROM versions v JOIN runs r ON r.id = v.run WHERE r.id IN ({TRAINED_ON}) ORDER BY v.created_at",
}


@read
def of_person(connection: Connection, person: str) -> PersonalData:
    """Read it all, in one moment."""

    def rows(query: str) -> tuple[Row, ...]:
        return tuple(dict(row) for row in connection.execute(query, {"person": person}))

    seen = rows("SELECT first_seen_at FROM people WHERE person = :person")
    return PersonalData(
        first_seen_at=str(seen[0]["first_seen_at"]) if seen else None,
        is_banned=bool(rows("SELECT 1 FROM bans WHERE person = :person")),
        texts=tuple(generations.of_author(connection, person)),
        **{field: rows(query) for field, query in _ROWS.items()},
    )
