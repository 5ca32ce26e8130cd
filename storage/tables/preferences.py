"""Preferences: what a person has chosen for themselves, in one chat. Knows names and values, not what they mean."""

from datetime import datetime

from storage.db.database import Database


async def choose(db: Database, person: str, chat: str, name: str, value: str, *, at: datetime) -> None:
    """Set a preference; the last choice stands."""
    await db.write(
        lambda c: c.execute(
            "INSERT INTO preferences VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (person, chat, name) DO UPDATE SET value = excluded.value, at = excluded.at",
            (person, chat, name, value, at.isoformat()),
        )
    )


async def drop(db: Database, person: str, chat: str, name: str) -> None:
    """Forget a choice; the default holds again."""
    await db.write(
        lambda c: c.execute("DELETE FROM preferences WHERE person = ? AND chat = ? AND name = ?", (person, chat, name))
    )


async def chosen(db: Database, person: str, chat: str, name: str) -> str | None:
    """What a person has chosen; None: nothing."""
    row = await db.read(
        lambda c: c.execute(
            "SELECT value FROM preferences WHERE person = ? AND chat = ? AND name = ?", (person, chat, name)
        ).fetchone()
    )
    return None if row is None else str(row["value"])


async def all_of(db: Database, person: str, chat: str) -> dict[str, str]:
    """All that a person has chosen in a chat, by name."""
    return await db.read(
        lambda c: {
            row["name"]: row["value"]
            for row in c.execute("SELECT name, value FROM preferences WHERE person = ? AND chat = ?", (person, chat))
        }
    )


async def who_chose(db: Database, name: str, value: str) -> frozenset[tuple[str, str]]:
    """Every (person, chat) with this choice."""
    return await db.read(
        lambda c: frozenset(
            (row["person"], row["chat"])
            for row in c.execute("SELECT person, chat FROM preferences WHERE name = ? AND value = ?", (name, value))
        )
    )
