"""People as pseudonyms: when they came, what they have agreed to and where, and what they prefer in a chat."""

from datetime import datetime, timedelta
from sqlite3 import Connection

from storage.db.database import count, read, value, write

HOUR = timedelta(hours=1)
CLOCK_STEP = timedelta(minutes=1)
"""What is dated so much later than now still counts as done within the hour: requests that race are not recorded in the
order of their dates, and a clock that is set steps back a little."""
_PAST_CONSENTS = 50
"""That have ended, of one person in one chat, are kept for them to read: more opting in and out is no history."""
INLINE_TEXT = 2
"""The first version of the consent text that speaks of inline mode; who has agreed to an earlier one agreed to less."""

_IS_INLINE = "EXISTS (SELECT 1 FROM offers o WHERE o.generation = g.id)"


def opted_in(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: their yes counts for that text, now.

    The yes of the chat where the text stands. Of an inline result nobody knows where it stands, so there it is the one
    of the person's own private chat, if it was given to a question that spoke of inline mode.
    """
    return f"""EXISTS (
        SELECT 1 FROM consents c WHERE c.person = {person} AND c.revoked_at IS NULL
            AND c.chat = CASE WHEN {_IS_INLINE}
                THEN (SELECT h.chat FROM homes h WHERE h.person = {person}) ELSE g.chat END
            AND (c.text_version >= {INLINE_TEXT} OR NOT {_IS_INLINE})
    )"""  # noqa: S608 - of our own


def agreed(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: a rater, or who gave a signal.

    They and the author have opted in; so has everybody whose words the text repeats; none of them is banned; the text
    still has its words, and no report hides it.
    """
    return f"""(
        {opted_in("g.author")} AND {opted_in(person)}
        AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, {person}))
        AND g.text IS NOT NULL AND coalesce(g.standing, 'cleared') = 'cleared'
        AND g.id NOT IN (SELECT id FROM quoting)
    )"""  # noqa: S608 - of our own


@write
def see(connection: Connection, person: str, *, at: datetime) -> None:
    """Remember when a person was first seen; later calls change nothing."""
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (person, at))


@write
def record_private_chat(connection: Connection, person: str, chat: str, *, at: datetime) -> None:
    """Remember which chat is a person's private one."""
    connection.execute("INSERT INTO homes VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (person, chat, at))


@write
def move_chat(connection: Connection, old: str, new: str) -> None:
    """Give texts, consents and preferences of a chat (a pseudonym) to another, as a group becomes a supergroup.

    A second time it changes nothing. Deliveries stay: the messages lie in the old chat, and their ids mean others in
    the new one.
    """
    for table in ("generations", "consents", "preferences", "asked"):
        # What has been said in the new chat already stands: a row that would take its place stays behind unread.
        connection.execute(f"UPDATE OR IGNORE {table} SET chat = ? WHERE chat = ?", (new, old))  # noqa: S608 - of our own


@write
def grant(connection: Connection, person: str, chat: str, *, text_version: int, at: datetime) -> bool:
    """Opt in, in one chat, to the given version of the consent text; False when that, or a later one, stood already."""
    see(connection, person, at=at)
    query = "SELECT text_version FROM consents WHERE person = ? AND chat = ? AND revoked_at IS NULL"
    current = value(int, connection.execute(query, (person, chat)))
    if current is not None and current >= text_version:
        return False
    revoke(connection, person, chat, at=at)
    connection.execute(
        "INSERT INTO consents (person, chat, text_version, granted_at) VALUES (?, ?, ?, ?)",
        (person, chat, text_version, at),
    )
    return True


@write
def revoke(connection: Connection, person: str, chat: str, *, at: datetime) -> bool:
    """Opt out, in one chat; False when the person had not opted in."""
    ended = connection.execute(
        "UPDATE consents SET revoked_at = ? WHERE person = ? AND chat = ? AND revoked_at IS NULL", (at, person, chat)
    )
    if ended.rowcount == 1:
        connection.execute(
            "DELETE FROM consents WHERE rowid IN (SELECT rowid FROM consents WHERE person = ? AND chat = ?"
            " AND revoked_at IS NOT NULL ORDER BY revoked_at DESC, rowid DESC LIMIT -1 OFFSET ?)",
            (person, chat, _PAST_CONSENTS),
        )
    return ended.rowcount == 1


@read
def has_consented(connection: Connection, person: str, chat: str) -> bool:
    """Whether the person's opt-in stands in this chat."""
    query = "SELECT 1 FROM consents WHERE person = ? AND chat = ? AND revoked_at IS NULL"
    return connection.execute(query, (person, chat)).fetchone() is not None


@read
def count_consented(connection: Connection) -> int:
    """People whose opt-in stands in at least one chat."""
    return count(connection.execute("SELECT count(DISTINCT person) FROM consents WHERE revoked_at IS NULL"))


@write
def mark_asked(connection: Connection, chat: str, *, at: datetime) -> bool:
    """Note that a group is asked for consent; False when it was asked, or somebody there has answered, before."""
    answered = connection.execute("SELECT 1 FROM consents WHERE chat = ? LIMIT 1", (chat,)).fetchone()
    noted = connection.execute("INSERT INTO asked VALUES (?, ?) ON CONFLICT DO NOTHING", (chat, at))
    return answered is None and noted.rowcount == 1


@write
def set_preference(connection: Connection, person: str, chat: str, name: str, to: str, *, at: datetime) -> None:
    """Set a preference; the last choice stands."""
    connection.execute(
        "INSERT INTO preferences VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (person, chat, name) DO UPDATE SET value = excluded.value, at = excluded.at",
        (person, chat, name, to, at),
    )


@write
def clear_preference(connection: Connection, person: str, chat: str, name: str) -> None:
    """Delete a preference; the default holds again."""
    connection.execute("DELETE FROM preferences WHERE person = ? AND chat = ? AND name = ?", (person, chat, name))


@read
def preferences(connection: Connection, person: str, chat: str) -> dict[str, str]:
    """All that a person has chosen in a chat, by name."""
    rows = connection.execute("SELECT name, value FROM preferences WHERE person = ? AND chat = ?", (person, chat))
    return dict(rows.fetchall())


@read
def with_preference(connection: Connection, name: str, chosen: str) -> frozenset[tuple[str, str]]:
    """Every (person, chat) with this preference."""
    rows = connection.execute("SELECT person, chat FROM preferences WHERE name = ? AND value = ?", (name, chosen))
    return frozenset((person, chat) for person, chat in rows)
