"""People as pseudonyms: when they came, where they have opted in, and who is shut out. Knows no id and no name."""

import sqlite3
from datetime import datetime

from storage.db.database import Database
from storage.tables import taints


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


async def ask_once(db: Database, chat: str, *, at: datetime) -> bool:
    """Note that a group is asked for consent; False when it was asked, or somebody there has answered, before."""

    def ask(connection: sqlite3.Connection) -> bool:
        answered = connection.execute("SELECT 1 FROM consents WHERE chat = ? LIMIT 1", (chat,)).fetchone()
        noted = connection.execute("INSERT INTO asked VALUES (?, ?) ON CONFLICT DO NOTHING", (chat, at.isoformat()))
        return answered is None and noted.rowcount == 1

    return await db.write(ask)


async def ban(db: Database, person: str, *, at: datetime) -> bool:
    """Shut a person out, and taint what has learned from them; False when they were already."""

    def shut_out(connection: sqlite3.Connection) -> bool:
        taints.mark_taught_by(connection, person, at=at)
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
