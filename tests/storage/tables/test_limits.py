"""What counts towards a limit an hour is what was done within it, also after a clock that was ahead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from storage.db.database import Database
from storage.tables import generations, moderation
from tests.storage.conftest import new_generation

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_what_is_dated_later_than_now_does_not_count(db: Database) -> None:
    for number, age in enumerate((-6 * HOUR, timedelta(0), HOUR / 2, 2 * HOUR), start=1):
        new = replace(new_generation(number), author="ada", created_at=NOW - age)
        accepted = await generations.accept(db, new)
        assert accepted is not None
        await moderation.record_report(db, accepted.id, "bob", at=NOW - age)
    assert await generations.count_between(db, "ada", NOW - HOUR, NOW) == 2
    assert await moderation.count_reports(db, "bob", NOW - HOUR, NOW) == 2
