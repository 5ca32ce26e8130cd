"""Reactions of nobody in particular: totals that Telegram counts without a name, and what anonymous admins do.

Numbers for the statistics and for nothing else: they are no ratings, and nothing learns from them.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from storage.db.database import Database

_TOTALS = """
    INSERT INTO counted_reactions (generation, totals, at, update_id)
    SELECT generation, :totals, :at, :update_id FROM deliveries WHERE chat_id = :chat_id AND message_id = :message_id
    ON CONFLICT (generation) DO UPDATE SET totals = excluded.totals, at = excluded.at, update_id = excluded.update_id
    WHERE (excluded.at, excluded.update_id) > (counted_reactions.at, counted_reactions.update_id)
"""
_CHANGE = """
    INSERT OR IGNORE INTO anonymous_reactions (update_id, generation, change)
    SELECT :update_id, generation, :change FROM deliveries WHERE chat_id = :chat_id AND message_id = :message_id
"""


async def record_totals(
    db: Database, totals: Mapping[str, int], *, chat_id: int, message_id: int, at: datetime, update_id: int
) -> None:
    """How often each emoji stands on a message of ours; the newest totals stand, and other messages do not matter."""
    values = {
        "totals": json.dumps(totals), "at": at.astimezone(UTC).isoformat(), "update_id": update_id,
        "chat_id": chat_id, "message_id": message_id,
    }  # fmt: skip
    await db.write(lambda c: c.execute(_TOTALS, values))


async def record_change(
    db: Database, change: Mapping[str, int], *, chat_id: int, message_id: int, update_id: int
) -> None:
    """What somebody without a name has put on a message of ours (1) or taken away (-1), each update once."""
    values = {"change": json.dumps(change), "update_id": update_id, "chat_id": chat_id, "message_id": message_id}
    await db.write(lambda c: c.execute(_CHANGE, values))
