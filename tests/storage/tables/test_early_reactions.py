"""A reaction that comes before the note of its message is counted; one to somebody else's message is not kept."""

from datetime import timedelta

from storage.db.database import Database
from storage.db.records import Reaction, Tally
from storage.tables import generations, ratings
from tests.storage.conftest import NOON, new_generation


def reaction(message_id: int, value: float | None, *, update_id: int, seconds: int = 0) -> Reaction:
    return Reaction(
        update_id=update_id,
        chat_id=-100,
        message_id=message_id,
        rater="bob",
        value=value,
        emoji="👍",
        at=NOON + timedelta(seconds=seconds),
    )


async def kept(db: Database) -> int:
    return int(await db.read(lambda c: c.execute("SELECT count(*) FROM early_reactions").fetchone()[0]))


async def test_a_reaction_that_is_faster_than_our_note_counts_once_the_message_stands(db: Database) -> None:
    accepted = await generations.accept(db, new_generation(1))
    assert accepted is not None
    assert await ratings.record_reaction(db, reaction(500, -1.0, update_id=90, seconds=2)) is None
    assert await ratings.record_reaction(db, reaction(500, 1.0, update_id=91, seconds=1)) is None
    assert await ratings.record_reaction(db, reaction(777, 1.0, update_id=92)) is None
    assert await ratings.record_placeholder(db, accepted.id, message_id=500)
    assert await ratings.tally(db, accepted.id) == Tally(0, 1)
    assert await kept(db) == 0


async def test_reactions_to_other_peoples_messages_are_not_kept(db: Database) -> None:
    assert await ratings.record_reaction(db, reaction(777, 1.0, update_id=92)) is None
    assert await kept(db) == 0


async def test_what_was_stopped_is_neither_placed_nor_written(db: Database) -> None:
    accepted = await generations.accept(db, new_generation(1))
    assert accepted is not None
    await generations.end(db, accepted.id, delivered=False, at=NOON)
    assert not await ratings.record_placeholder(db, accepted.id, message_id=500)
    assert not await generations.write_text(db, accepted.id, text="too late", version="starter")
