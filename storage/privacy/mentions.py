"""Updates that wait in the inbox and name somebody who is forgotten. Whom a body names is asked of the caller.

Knows bodies and pseudonyms, not how one is found in the other.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

Names = Callable[[str], Collection[str]]
"""The pseudonyms of everybody whom an update's body, encrypted as it lies there, names."""


def find(
    connection: sqlite3.Connection, forgotten: Mapping[str, datetime], names: Names | None, *, but: int | None = None
) -> list[int]:
    """Updates with a body that came up to the moment of one whom they name, `but` excepted.

    Without `names` every update counts as naming everybody.
    """
    waiting = connection.execute("SELECT update_id, received_at, body FROM inbox WHERE body IS NOT NULL").fetchall()
    found = []
    for update_id, received_at, body in waiting:
        named = forgotten.keys() if names is None else forgotten.keys() & set(names(body))
        if update_id != but and any(datetime.fromisoformat(received_at) <= forgotten[person] for person in named):
            found.append(update_id)
    return found


def drop(
    connection: sqlite3.Connection, forgotten: Mapping[str, datetime], names: Names | None, *, but: int | None = None
) -> int:
    """Count what `find` finds as handled and drop the bodies; returns how many."""
    found = find(connection, forgotten, names, but=but)
    connection.executemany(
        "UPDATE inbox SET state = 'done', body = NULL WHERE update_id = ?", [(update_id,) for update_id in found]
    )
    return len(found)
