"""Reasons: why somebody dislikes a text, if they care to say. One that is given stands as long as the dislike does.

A reason names the rating event that it explains, so that it falls with it, whatever the replay of the events comes to.
"""

from datetime import datetime

from storage.db.database import Database
from storage.db.records import Reason

_UNEXPLAINED = """
    SELECT count(*) FROM ratings r WHERE r.generation = ? AND r.value < 0 AND r.source = 'button' AND NOT EXISTS
        (SELECT 1 FROM reasons w WHERE w.generation = r.generation AND w.rater = r.rater AND w.verdict = r.update_id)
"""


async def record(db: Database, generation: int, rater: str, reason: Reason, *, at: datetime) -> bool:
    """Give the reason of a dislike, in place of one that was given before; False where no dislike of theirs stands."""
    return await db.write(
        lambda c: (
            c.execute(
                "INSERT INTO reasons SELECT generation, rater, update_id, ?, ? FROM ratings"
                " WHERE generation = ? AND rater = ? AND value < 0"
                " ON CONFLICT DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, at = excluded.at",
                (reason, at.isoformat(), generation, rater),
            ).rowcount
            == 1
        )
    )


async def is_wanted(db: Database, generation: int) -> bool:
    """Whether a 👎 that was pressed stands without a reason."""
    row = await db.read(lambda c: c.execute(_UNEXPLAINED, (generation,)).fetchone())
    return bool(row[0])
