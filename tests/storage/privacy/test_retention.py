"""What is not agreed to loses its words and its raters after a day, and everything goes after its time."""

from dataclasses import replace
from datetime import timedelta

from storage.db.database import Database
from storage.db.records import Generation, RatingEvent, Tally, Version
from storage.privacy import retention
from storage.privacy.data_export import of_person
from storage.tables import generations, moderation, people, ratings, runs, versions
from tests.storage.conftest import NOON, delivered, new_generation

LATER = NOON + timedelta(hours=30)


async def rate(db: Database, text: Generation, rater: str, update_id: int, value: float = 1.0) -> None:
    await ratings.record(
        db,
        RatingEvent(
            update_id=update_id, generation=text.id, rater=rater, source="reaction", value=value, emoji="👍", at=NOON
        ),
    )


async def agree(db: Database, *persons: str) -> None:
    for person in persons:
        await people.grant(db, person, "tea", text_version=1, at=NOON)


async def refined(db: Database, parent: Generation, update_id: int, *, author: str) -> Generation:
    new = replace(new_generation(update_id, author=author), parent=parent.id, messages=parent.messages)
    accepted = await generations.accept(db, new)
    assert accepted is not None
    await db.write(lambda c: c.execute("UPDATE generations SET state = 'placed' WHERE id = ?", (accepted.id,)))
    await generations.write_text(db, accepted.id, text="Tea again.", version="starter")
    await generations.end(db, accepted.id, delivered=True, at=NOON)
    return accepted


async def trained_on(db: Database, name: str) -> int:
    """A version that has learned from everything that is agreed to; returns its run."""
    run = await runs.start(db, slot=None, at=NOON)
    assert run is not None
    await runs.take_training_data(db, run.id, fewest=1)
    await runs.end(db, run.id, verdict="promoted", reason="better", numbers={}, version=name, at=NOON)
    version = Version(name=name, base="starter", run=run.id, state="candidate", created_at=NOON)
    assert await versions.add(db, version)
    return run.id


async def test_words_without_consent_go_after_a_day_and_those_with_consent_stay(db: Database) -> None:
    hers, his = await delivered(db, 1, author="ada"), await delivered(db, 2, author="bob")
    quoting = await refined(db, his, 3, author="ada")
    await agree(db, "ada")
    assert await retention.purge_unconsented(db, before=NOON - timedelta(seconds=1)) == (0, 0), (
        "too early for all of them"
    )
    assert await retention.purge_unconsented(db, before=LATER) == (2, 0)
    assert await generations.by_id(db, hers.id) == hers
    for number in (his.id, quoting.id):  # she agrees, but her text repeats his words
        purged = await generations.by_id(db, number)
        assert purged is not None and (purged.text, purged.messages, purged.version) == (None, (), "starter")
    await agree(db, "bob")
    await rate(db, his, "ada", 10)
    assert await ratings.consented(db) == [], "a consent that comes later brings no words back"


async def test_ratings_without_consent_become_numbers(db: Database) -> None:
    text = await delivered(db, 1, author="ada")
    await agree(db, "ada", "cyd")
    for update_id, (rater, value) in enumerate([("bob", 1.0), ("cyd", 1.0), ("dee", -1.0), ("eve", 1.0)], start=10):
        await rate(db, text, rater, update_id, value)
    assert await ratings.tally(db, text.id) == Tally(3, 1)
    assert await retention.purge_unconsented(db, before=LATER) == (0, 3)
    assert await ratings.tally(db, text.id) == Tally(3, 1)
    assert [rating.rater for rating in await db.read(ratings.current)] == ["cyd"]
    assert (await db.read(lambda c: of_person(c, "bob"))).rating_events == ()
    assert await retention.purge_unconsented(db, before=LATER) == (0, 0)


async def test_a_text_that_repeats_words_of_somebody_who_disagrees_teaches_nothing(db: Database) -> None:
    hers = await delivered(db, 1, author="ada")
    child = await refined(db, hers, 2, author="bob")
    await agree(db, "bob")
    await rate(db, child, "bob", 10)
    assert await ratings.consented(db) == []
    await agree(db, "ada")
    assert [text.generation.id for text in await ratings.consented(db)] == [child.id]
    await moderation.ban(db, "ada", at=NOON)
    assert await ratings.consented(db) == []


async def test_a_hundred_people_agree_and_one_withdraws_between_capture_and_training(db: Database) -> None:
    everybody = [f"person {number}" for number in range(100)]
    for number, person in enumerate(everybody):
        text = await delivered(db, number + 1, author=person)
        await agree(db, person)
        for offset in range(3):
            await rate(db, text, everybody[(number + offset) % 100], 1000 + 3 * number + offset)
    await people.revoke(db, "person 42", "tea", at=NOON)
    run = await runs.start(db, slot=None, at=NOON)
    assert run is not None
    dataset = await runs.take_training_data(db, run.id, fewest=1)
    raters = {rating.rater for text in dataset for rating in text.ratings}
    assert "person 42" not in {text.generation.author for text in dataset} | raters
    assert len({text.generation.author for text in dataset}) == 99 == len(raters)


async def test_old_texts_go_with_all_that_was_said_of_them_unless_a_version_has_learned_from_them(db: Database) -> None:
    taught, old, new = [await delivered(db, number) for number in (1, 2, 7200)]
    await agree(db, "ada")
    await rate(db, taught, "ada", 10)
    await trained_on(db, "v1")
    child = await refined(db, old, 7201, author="ada")
    assert await retention.delete_expired(db, before=NOON + timedelta(hours=1)) == 1
    assert await generations.by_id(db, old.id) is None
    left = await generations.by_id(db, child.id)
    assert left is not None and left.parent is None
    assert await generations.by_id(db, new.id) == new and await generations.by_id(db, taught.id) == taught
    await versions.mark_destroyed(db, "v1", at=NOON)
    assert await retention.delete_expired(db, before=NOON + timedelta(hours=1)) == 1
    assert await db.read(lambda c: c.execute("PRAGMA foreign_key_check").fetchall()) == []


async def test_telegrams_ids_go_with_what_needs_them(db: Database) -> None:
    kept = await delivered(db, 1, author="ada")
    purged, reported = [await delivered(db, number, author="bob") for number in (2, 3)]
    await agree(db, "ada")
    await generations.add_further_message(db, purged.id, chat_id=-100, message_id=2002)
    await moderation.record_report(db, reported.id, "eve", at=NOON)
    failed = await generations.accept(db, new_generation(4))
    waiting = await generations.accept(db, new_generation(5))
    assert failed is not None and waiting is not None
    await ratings.record_placeholder(db, failed.id, message_id=3000)
    await generations.end(db, failed.id, delivered=False, at=NOON)
    await retention.purge_unconsented(db, before=LATER)

    async def dropped(keep: tuple[int, ...] = ()) -> int:
        return await retention.drop_addresses(db, failed_before=LATER, delivered_before=LATER, keep=keep)

    early = NOON - timedelta(seconds=1)
    assert await retention.drop_addresses(db, failed_before=early, delivered_before=early) == 0
    assert await dropped(keep=(-100,)) == 0
    assert await dropped() == 2
    assert await dropped() == 0, "once"
    reached = [text.delivery.chat_id for text in await generations.of_author(db, "bob")]
    assert sorted(reached) == [-100, 0]
    assert await generations.by_message(db, chat_id=-100, message_id=2002) is None
    assert await generations.by_message(db, chat_id=-100, message_id=1002) is None
    found = await generations.by_message(db, chat_id=-100, message_id=1001)
    assert found is not None and found.id == kept.id
    assert await ratings.record_placeholder(db, waiting.id, message_id=4000), "one that is being written goes on"
