"""An update is kept until it is handled, and handled once."""

from datetime import timedelta

from storage.db.database import Database
from storage.tables import inbox
from tests.storage.conftest import NOON


async def test_an_update_is_kept_until_it_is_finished(db: Database) -> None:
    assert await inbox.accept(db, [(1, "one"), (2, "two")], at=NOON) == {1, 2}
    assert await inbox.accept(db, [(2, "two again"), (3, "three")], at=NOON) == {3}
    assert await inbox.unfinished(db) == [(1, "one", False), (2, "two", False), (3, "three", False)]
    assert await inbox.claim(db, 2) == "claimed"
    await inbox.finish(db, 2)
    assert await inbox.unfinished(db) == [(1, "one", False), (3, "three", False)]
    assert await inbox.claim(db, 2) == "done"


async def test_an_update_that_is_cut_off_again_and_again_is_buried(db: Database) -> None:
    await inbox.accept(db, [(1, "poison")], at=NOON)
    claims = [await inbox.claim(db, 1) for _ in range(inbox.SUSPICIOUS_ATTEMPTS)]
    assert await inbox.unfinished(db) == [(1, "poison", True)], "and is handled alone before that"
    claims += [await inbox.claim(db, 1) for _ in range(inbox.MAX_ATTEMPTS + 2 - inbox.SUSPICIOUS_ATTEMPTS)]
    assert claims == [*["claimed"] * inbox.MAX_ATTEMPTS, "dead", "done"]
    assert await inbox.backlog(db, now=NOON) == (0, 0.0, 1)
    assert await inbox.unfinished(db) == []


async def test_a_buried_update_keeps_the_kind_of_error_and_no_text(db: Database) -> None:
    await inbox.accept(db, [(1, "a secret")], at=NOON)
    await inbox.mark_dead(db, 1, error="ValueError")
    row = await db.read(lambda c: tuple(c.execute("SELECT state, error, body FROM inbox").fetchone()))
    assert row == ("dead", "ValueError", None)


async def test_ids_are_forgotten_only_when_telegram_cannot_send_them_again(db: Database) -> None:
    await inbox.accept(db, [(1, "old"), (2, "old and open")], at=NOON)
    await inbox.finish(db, 1)
    await inbox.prune(db, now=NOON + timedelta(days=6))
    assert await inbox.claim(db, 1) == "done"
    assert await inbox.backlog(db, now=NOON + timedelta(minutes=1)) == (1, 60.0, 0)
    await inbox.prune(db, now=NOON + timedelta(days=8))
    assert await db.read(lambda c: [row[0] for row in c.execute("SELECT update_id FROM inbox")]) == [2]
