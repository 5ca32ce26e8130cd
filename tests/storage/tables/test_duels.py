"""Two texts for one prompt, and whose choice between them stands, teaches and goes."""

from dataclasses import replace
from datetime import timedelta

from storage.db.database import Database
from storage.db.records import Generation, Tally
from storage.privacy import erasure, retention
from storage.tables import generations, people, ratings
from tests.storage.conftest import NOON, new_generation

LATER = NOON + timedelta(hours=30)


async def deliver(db: Database, text: Generation) -> None:
    await ratings.record_placeholder(db, text.id, message_id=1000 + text.id)
    await generations.write_text(db, text.id, text=f"Tea {text.id}.", version="starter")
    await generations.end(db, text.id, delivered=True, at=NOON)


async def pair(db: Database, update_id: int = 1) -> tuple[Generation, Generation]:
    new = new_generation(update_id)
    first, second = await generations.accept_duel(db, new, replace(new, update_id=-update_id, seed=2))
    return first, second


async def signals_of(db: Database) -> set[tuple[int, str, str]]:
    return {(s.generation, s.person, s.signal) for text in await ratings.consented(db) for s in text.signals}


async def test_both_texts_are_recorded_once(db: Database) -> None:
    first, second = await pair(db)
    assert (first.seed, second.seed) == (1, 2) and first.messages == second.messages
    new = new_generation(1)
    assert await generations.accept_duel(db, new, replace(new, update_id=-1)) == ()


async def test_there_is_a_choice_once_both_are_there_and_the_last_one_stands(db: Database) -> None:
    first, second = await pair(db)
    await deliver(db, first)
    assert await generations.choose_in_duel(db, first.id, "bob", at=NOON) is None, "the other is still being written"
    assert await ratings.tally(db, first.id) == Tally(chosen=0)
    await deliver(db, second)
    for chosen, rival in ((first, second), (second, first), (second, first)):
        beside = await generations.choose_in_duel(db, chosen.id, "bob", at=NOON)
        assert beside is not None and beside.id == rival.id
    assert [await ratings.tally(db, text.id) for text in (first, second)] == [Tally(chosen=0), Tally(chosen=1)]
    (only,) = await db.read(generations.duel_choices)
    assert (only.chosen, only.rejected, only.rater, only.consented) == (second.id, first.id, "bob", False)


async def test_a_text_without_a_rival_cannot_be_chosen(db: Database) -> None:
    accepted = await generations.accept(db, new_generation(1))
    assert accepted is not None
    await deliver(db, accepted)
    assert await generations.choose_in_duel(db, accepted.id, "bob", at=NOON) is None
    assert (await ratings.tally(db, accepted.id)).chosen is None
    failed, other = await pair(db, 2)
    await generations.end(db, failed.id, delivered=False, at=NOON)
    await deliver(db, other)
    assert await generations.choose_in_duel(db, other.id, "bob", at=NOON) is None
    assert (await ratings.tally(db, other.id)).chosen is None


async def test_a_choice_says_something_of_both_texts_where_all_agree(db: Database) -> None:
    first, second = await pair(db)
    for text in (first, second):
        await deliver(db, text)
    await generations.choose_in_duel(db, first.id, "bob", at=NOON)
    await people.grant(db, "ada", "tea", text_version=1, at=NOON)
    assert await signals_of(db) == set(), "the author agrees, the chooser does not"
    await people.grant(db, "bob", "tea", text_version=1, at=NOON)
    assert await signals_of(db) == {(first.id, "bob", "preferred"), (second.id, "bob", "passed_over")}


async def test_a_choice_without_consent_goes_after_a_day(db: Database) -> None:
    first, second = await pair(db)
    for text in (first, second):
        await deliver(db, text)
    await people.grant(db, "bob", "tea", text_version=1, at=NOON)
    for rater in ("bob", "cyd"):
        await generations.choose_in_duel(db, first.id, rater, at=NOON)
    await retention.purge_unconsented(db, before=LATER)
    assert (await ratings.tally(db, first.id)).chosen == 1


async def test_forgetting_the_chooser_takes_the_choice_and_forgetting_the_author_takes_the_duel(db: Database) -> None:
    first, second = await pair(db)
    for text in (first, second):
        await deliver(db, text)
    for rater in ("bob", "cyd"):
        await generations.choose_in_duel(db, first.id, rater, at=NOON)
    at = await erasure.cutoff(db, "bob", LATER)
    await db.write(lambda c: erasure.erase(c, "bob", before=at))
    assert (await ratings.tally(db, first.id)).chosen == 1
    await db.write(lambda c: erasure.erase(c, "ada", before=LATER))
    left = await db.read(lambda c: [c.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("duels", "choices")])
    assert left == [0, 0]
