"""A chat gets another id, as a group does that becomes a supergroup: what is known of it goes along."""

import sqlite3

from storage.db.database import Database

_MOVES = (
    "UPDATE OR IGNORE consents SET chat = :new WHERE chat = :old",
    "UPDATE OR IGNORE preferences SET chat = :new WHERE chat = :old",
    "UPDATE OR IGNORE asked SET chat = :new WHERE chat = :old",
    "UPDATE generations SET chat = :new WHERE chat = :old",
)
"""What has been said in the new chat already stands: a row that would take its place stays behind unread."""


async def move(db: Database, old: str, new: str) -> None:
    """Give texts, consents and choices of a chat (a pseudonym) to another; a second time it changes nothing.

    Deliveries stay: the messages lie in the old chat, and their ids mean others in the new one.
    """

    def everything(connection: sqlite3.Connection) -> None:
        for statement in _MOVES:
            connection.execute(statement, {"old": old, "new": new})

    await db.write(everything)
