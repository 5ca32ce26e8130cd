"""Statistics count texts and standing verdicts by version, kind, day and emoji, for one chat or for all."""

from datetime import timedelta

from storage.db.database import Database
from storage.db.records import RatingEvent
from storage.tables import ratings
from storage.tables.statistics import RatingCount, read_statistics
from tests.storage.conftest import NOON, delivered


async def say(db: Database, update_id: int, generation: int, rater: str, value: float | None, emoji: str) -> None:
    event = RatingEvent(
        update_id=update_id, generation=generation, rater=rater, source="reaction", value=value, emoji=emoji, at=NOON
    )
    await ratings.record(db, event)


async def test_verdicts_are_counted_by_version_kind_day_and_emoji_in_one_chat_or_in_all(db: Database) -> None:
    tea = [await delivered(db, update_id) for update_id in (1, 2)]
    other = await delivered(db, 3, chat="chess")
    await say(db, 11, tea[0].id, "bob", 1.0, "👍")
    await say(db, 12, tea[0].id, "eve", -1.0, "👎")
    await say(db, 13, tea[1].id, "bob", 1.0, "👍")
    await say(db, 14, tea[1].id, "eve", None, "🤔")
    await say(db, 15, other.id, "eve", 1.0, "❤")

    here = await db.read(lambda c: read_statistics(c, since=NOON - timedelta(days=1), chat="tea"))
    assert here.versions == (RatingCount("starter", 2, 2, 1),)
    assert here.kinds == (RatingCount("slogan", 2, 2, 1),)
    assert here.days == (RatingCount("2026-11-23", 2, 2, 1),)
    assert here.emoji == (("👍", 2), ("👎", 1), ("🤔", 1))
    assert (here.texts, here.ratings, here.versions[0].share) == (2, 3, 2 / 3)

    everywhere = await db.read(lambda c: read_statistics(c, since=NOON - timedelta(days=1)))
    assert (everywhere.texts, everywhere.ratings) == (3, 4)
    later = await db.read(lambda c: read_statistics(c, since=NOON + timedelta(days=1)))
    assert (later.texts, later.versions, later.emoji) == (0, (), ())


async def test_ratings_that_have_become_numbers_count(db: Database) -> None:
    text = await delivered(db, 1)
    await db.write(lambda c: c.execute("UPDATE generations SET likes = 3, dislikes = 1, text = NULL"))
    await say(db, 11, text.id, "bob", 1.0, "👍")
    numbers = await db.read(lambda c: read_statistics(c, since=NOON - timedelta(days=1)))
    assert numbers.versions == (RatingCount("starter", 1, 4, 1),)
