"""A chat gets another id, as a group does that becomes a supergroup: what is known of it goes along.

Preferences: what a person has chosen for themselves, in one chat. Knows names and values, not what they mean.

People as pseudonyms: when they came, where they have opted in, and who is shut out. Knows no id and no name.
"""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.tables import versions

_MOVES = (
    "UPDATE OR IGNORE consents SET chat = :new WHERE chat = :old",
    "UPDATE OR IGNORE preferences SET chat = :new WHERE chat = :old",
    "UPDATE OR IGNORE asked SET chat = :new WHERE chat = :old",
    "UPDATE generations SET chat = :new WHERE chat = :old",
)
"""What has been said in the new chat already stands: a row that would take its place stays behind unread."""


async def move_chat(db: Database, old: str, new: str) -> None:
    """Give texts, consents and choices of a chat (a pseudonym) to another; a second time it changes nothing.

    Deliveries stay: the messages lie in the old chat, and their ids mean others in the new one.
    """

    def everything(connection: sqlite3.Connection) -> None:
        for statement in _MOVES:
            connection.execute(statement, {"old": old, "new": new})

    await db.write(everything)


async def set_preference(db: Database, person: str, chat: str, name: str, value: str, *, at: datetime) -> None:
    """Set a preference; the last choice stands."""
    await db.write(
        lambda c: c.execute(
            "INSERT INTO preferences VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (person, chat, name) DO UPDATE SET value = excluded.value, at = excluded.at",
            (person, chat, name, value, at.isoformat()),
        )
    )


async def clear_preference(db: Database, person: str, chat: str, name: str) -> None:
    """Forget a choice; the default holds again."""
    await db.write(
        lambda c: c.execute("DELETE FROM preferences WHERE person = ? AND chat = ? AND name = ?", (person, chat, name))
    )


async def preferences(db: Database, person: str, chat: str) -> dict[str, str]:
    """All that a person has chosen in a chat, by name."""
    return await db.read(
        lambda c: {
            row["name"]: row["value"]
            for row in c.execute("SELECT name, value FROM preferences WHERE person = ? AND chat = ?", (person, chat))
        }
    )


async def with_preference(db: Database, name: str, value: str) -> frozenset[tuple[str, str]]:
    """Every (person, chat) with this choice."""
    return await db.read(
        lambda c: frozenset(
            (row["person"], row["chat"])
            for row in c.execute("SELECT person, chat FROM preferences WHERE name = ? AND value = ?", (name, value))
        )
    )


async def see(db: Database, person: str, *, at: datetime) -> None:
    """Remember when a person was first seen; later calls change nothing."""
    await db.write(lambda c: _see(c, person, at))


async def grant(db: Database, person: str, chat: str, *, text_version: int, at: datetime) -> bool:
    """Opt in, in one chat, to the given version of the consent text; False when that, or a later one, stood already."""

    def opt_in(connection: sqlite3.Connection) -> bool:
        _see(connection, person, at)
        current = connection.execute(
            "SELECT text_version FROM consents WHERE person = ? AND chat = ? AND revoked_at IS NULL",
            (person, chat),
        ).fetchone()
        if current is not None and current["text_version"] >= text_version:
            return False
        _revoke(connection, person, chat, at)
        connection.execute(
            "INSERT INTO consents (person, chat, text_version, granted_at) VALUES (?, ?, ?, ?)",
            (person, chat, text_version, at.isoformat()),
        )
        return True

    return await db.write(opt_in)


async def revoke(db: Database, person: str, chat: str, *, at: datetime) -> bool:
    """Opt out, in one chat; False when the person had not opted in."""
    return await db.write(lambda c: _revoke(c, person, chat, at))


async def has_consented(db: Database, person: str, chat: str) -> bool:
    """Whether the person's opt-in stands in this chat."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT 1 FROM consents WHERE person = ? AND chat = ? AND revoked_at IS NULL", (person, chat)
        ).fetchone()
    )
    return row is not None


async def mark_asked(db: Database, chat: str, *, at: datetime) -> bool:
    """Note that a group is asked for consent; False when it was asked, or somebody there has answered, before."""

    def ask(connection: sqlite3.Connection) -> bool:
        answered = connection.execute("SELECT 1 FROM consents WHERE chat = ? LIMIT 1", (chat,)).fetchone()
        noted = connection.execute("INSERT INTO asked VALUES (?, ?) ON CONFLICT DO NOTHING", (chat, at.isoformat()))
        return answered is None and noted.rowcount == 1

    return await db.write(ask)


async def ban(db: Database, person: str, *, at: datetime) -> bool:
    """Shut a person out, and taint what has learned from them; False when they were already."""

    def shut_out(connection: sqlite3.Connection) -> bool:
        versions.taint_taught_by(connection, person, at=at)
        return (
            connection.execute(
                "INSERT INTO bans VALUES (?, ?) ON CONFLICT DO NOTHING", (person, at.isoformat())
            ).rowcount
            == 1
        )

    return await db.write(shut_out)


async def unban(db: Database, person: str) -> bool:
    """Let a person in again; False when they were not shut out."""
    return await db.write(lambda c: c.execute("DELETE FROM bans WHERE person = ?", (person,)).rowcount == 1)


async def banned(db: Database) -> frozenset[str]:
    """Everybody who is shut out."""
    return await db.read(lambda c: frozenset(row["person"] for row in c.execute("SELECT person FROM bans")))


async def count_consented(db: Database) -> int:
    """People whose opt-in stands in at least one chat."""
    row = await db.read(
        lambda c: c.execute("SELECT count(DISTINCT person) FROM consents WHERE revoked_at IS NULL").fetchone()
    )
    return int(row[0])


def _see(connection: sqlite3.Connection, person: str, at: datetime) -> None:
    connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT DO NOTHING", (person, at.isoformat()))


def _revoke(connection: sqlite3.Connection, person: str, chat: str, at: datetime) -> bool:
    ended = connection.execute(
        "UPDATE consents SET revoked_at = ? WHERE person = ? AND chat = ? AND revoked_at IS NULL",
        (at.isoformat(), person, chat),
    )
    return ended.rowcount == 1
