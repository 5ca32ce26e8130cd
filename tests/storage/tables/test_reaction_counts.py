"""Reactions of nobody in particular are numbers beside all others: the newest totals stand, and go with their text."""

from datetime import timedelta

from storage.db.database import Database
from storage.privacy import erasure
from storage.tables import ratings
from storage.tables.statistics import read_statistics
from tests.storage.conftest import NOON, delivered

LATER = NOON + timedelta(hours=1)


async def totals(
    db: Database, update_id: int, counts: dict[str, int], *, minutes: int = 0, message_id: int = 1001
) -> None:
    at = NOON + timedelta(minutes=minutes)
    await ratings.record_reaction_counts(db, counts, chat_id=-100, message_id=message_id, at=at, update_id=update_id)


async def change(db: Database, update_id: int, by: dict[str, int], *, message_id: int = 1001) -> None:
    await ratings.record_anonymous_reaction(db, by, chat_id=-100, message_id=message_id, update_id=update_id)


async def shown(db: Database, chat: str | None = None) -> dict[str, int]:
    numbers = await db.read(lambda c: read_statistics(c, since=NOON - timedelta(days=1), chat=chat))
    assert (numbers.ratings, numbers.emoji) == (0, ())
    return dict(numbers.unnamed)


async def test_the_newest_totals_stand_in_whatever_order_they_come(db: Database) -> None:
    await delivered(db, 1)
    await totals(db, 90, {"👍": 2}, minutes=2)
    await totals(db, 91, {"👍": 1}, minutes=1)
    assert await shown(db) == {"👍": 2}
    await totals(db, 92, {"👍": 1, "🔥": 5}, minutes=2)
    await totals(db, 92, {"👍": 1, "🔥": 5}, minutes=2)
    assert await shown(db) == {"🔥": 5, "👍": 1}
    await totals(db, 94, {}, minutes=4)
    await totals(db, 93, {"👍": 9}, minutes=3)
    assert await shown(db) == {}


async def test_what_people_without_a_name_change_adds_up_and_each_update_counts_once(db: Database) -> None:
    await delivered(db, 1)
    await change(db, 90, {"👍": 1})
    await change(db, 91, {"👍": 1})
    await change(db, 91, {"👍": 1})
    assert await shown(db) == {"👍": 2}
    await change(db, 92, {"👍": -1, "🔥": 1})
    assert await shown(db) == {"👍": 1, "🔥": 1}


async def test_they_are_of_one_chat_are_no_ratings_and_go_with_the_text(db: Database) -> None:
    await delivered(db, 1)
    await delivered(db, 2, author="bob", chat="chess")
    await totals(db, 90, {"👍": 2})
    await change(db, 91, {"👍": 1}, message_id=1002)
    await totals(db, 92, {"👍": 7}, message_id=5)  # somebody else's message
    assert (await shown(db), await shown(db, "tea"), await shown(db, "chess")) == ({"👍": 3}, {"👍": 2}, {"👍": 1})
    assert await db.read(ratings.current) == []
    for author in ("ada", "bob"):
        await erasure.forget(db, author, LATER, named_in=lambda _: ())
    assert await shown(db) == {}
    for table in ("counted_reactions", "anonymous_reactions"):
        assert await db.read(lambda c, t=table: c.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) == 0  # type: ignore[misc]
