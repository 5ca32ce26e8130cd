"""Reasons stand while the dislike does; signals come with their prompt, once, and only with consent; choices stand."""

from dataclasses import replace
from datetime import timedelta

from storage.db.database import Database
from storage.db.records import Generation, PromptSignal, Rating, RatingEvent
from storage.privacy import erasure
from storage.tables import generations, moderation, people, ratings
from tests.storage.conftest import NOON, delivered, new_generation

LATER = NOON + timedelta(hours=1)


async def press(db: Database, generation: Generation, value: float, *, update_id: int, rater: str = "bob") -> None:
    emoji = "👍" if value > 0 else "👎"
    await ratings.record_button(
        db,
        RatingEvent(
            update_id=update_id, generation=generation.id, rater=rater, source="button", value=value, emoji=emoji,
            at=NOON + timedelta(seconds=update_id),
        ),
    )  # fmt: skip


async def only_rating(db: Database) -> Rating:
    (rating,) = await db.read(ratings.current)
    return rating


async def ask_again(
    db: Database, parent: Generation, update_id: int, *, author: str, signal: PromptSignal = "another"
) -> Generation | None:
    new = replace(new_generation(update_id, author=author), parent=parent.id, signal=signal)
    return await generations.accept(db, new)


async def agree(db: Database, *names: str) -> None:
    for name in names:
        await people.grant(db, name, "tea", text_version=1, at=NOON)


async def test_a_reason_stands_as_long_as_the_dislike_that_it_explains(db: Database) -> None:
    text = await delivered(db, 1)
    assert not await ratings.record_reason(db, text.id, "bob", "boring", at=NOON)
    await press(db, text, 1.0, update_id=10)
    assert not await ratings.record_reason(db, text.id, "bob", "boring", at=NOON)
    await press(db, text, -1.0, update_id=11)
    assert await ratings.wants_reason(db, text.id)
    assert await ratings.record_reason(db, text.id, "bob", "boring", at=NOON)
    assert await ratings.record_reason(db, text.id, "bob", "too_long", at=NOON)
    assert (await only_rating(db)).reason == "too_long" and not await ratings.wants_reason(db, text.id)
    await press(db, text, 1.0, update_id=12)
    assert (await only_rating(db)).reason is None
    await press(db, text, -1.0, update_id=13)
    assert (await only_rating(db)).reason is None, "a new dislike has a reason of its own"
    assert await ratings.wants_reason(db, text.id)


async def test_a_reaction_asks_for_no_reason_but_may_have_one(db: Database) -> None:
    text = await delivered(db, 1)
    await ratings.record(
        db,
        RatingEvent(update_id=9, generation=text.id, rater="bob", source="reaction", value=-1.0, emoji="💩", at=NOON),
    )
    assert not await ratings.wants_reason(db, text.id)
    assert await ratings.record_reason(db, text.id, "bob", "wrong", at=NOON)
    assert (await only_rating(db)).reason == "wrong"


async def test_a_signal_is_recorded_once_with_its_prompt(db: Database) -> None:
    text = await delivered(db, 1)
    await agree(db, "ada", "bob")
    assert await ask_again(db, text, 2, author="bob") is not None
    assert await ask_again(db, text, 2, author="bob") is None
    assert await ask_again(db, text, 3, author="ada", signal="refined") is not None
    (lesson,) = await ratings.consented(db)
    assert lesson.generation == text and lesson.ratings == ()
    assert [(signal.person, signal.signal) for signal in lesson.signals] == [("bob", "another"), ("ada", "refined")]


async def test_signals_need_the_consents_of_ratings(db: Database) -> None:
    text = await delivered(db, 1)
    await ask_again(db, text, 2, author="bob")
    assert await ratings.consented(db) == []
    await agree(db, "bob")
    assert await ratings.consented(db) == []
    await agree(db, "ada")
    assert len(await ratings.consented(db)) == 1
    await moderation.ban(db, "bob", at=NOON)
    assert await ratings.consented(db) == []


async def test_the_newest_rated_texts_are_told_and_what_is_older_is_left_out(db: Database) -> None:
    texts = [await delivered(db, number) for number in range(1, 6)]
    await agree(db, "ada", "bob")
    for text in texts[:4]:
        await press(db, text, 1.0, update_id=100 + text.id)
        await press(db, text, -1.0, update_id=200 + text.id, rater="ada")
    await press(db, texts[4], 1.0, update_id=300, rater="stranger")
    await ask_again(db, texts[0], 400, author="bob")
    assert [lesson.generation.id for lesson in await ratings.consented(db, newest=2)] == [texts[2].id, texts[3].id]
    assert len(await ratings.consented(db, newest=9)) == len(await ratings.consented(db)) == 4


async def test_how_many_were_compared_is_kept(db: Database) -> None:
    assert (await delivered(db, 1)).best_of == 1
    accepted = await generations.accept(db, new_generation(2))
    assert accepted is not None
    await db.write(lambda c: c.execute("UPDATE generations SET state = 'placed' WHERE id = ?", (accepted.id,)))
    assert await generations.write_text(
        db, accepted.id, text="Tea.", version="starter", best_of=8, finish_reason="length"
    )
    written = await generations.by_id(db, accepted.id)
    assert written is not None and (written.best_of, written.finish_reason) == (8, "length")


async def test_the_last_choice_stands_until_it_is_dropped(db: Database) -> None:
    await people.set_preference(db, "ada", "tea", "own_taste", "on", at=NOON)
    await people.set_preference(db, "bob", "tea", "own_taste", "on", at=NOON)
    await people.set_preference(db, "bob", "tea", "own_taste", "off", at=NOON)
    assert await people.with_preference(db, "own_taste", "on") == {("ada", "tea")}
    assert await people.preferences(db, "bob", "tea") == {"own_taste": "off"}
    await people.clear_preference(db, "ada", "tea", "own_taste")
    assert await people.preferences(db, "ada", "tea") == {}


async def test_reasons_signals_and_choices_are_forgotten_with_their_person_and_no_others(db: Database) -> None:
    hers, his = await delivered(db, 1, author="ada"), await delivered(db, 2, author="bob")
    for update_id, (text, rater) in enumerate([(hers, "bob"), (his, "ada"), (his, "bob")], start=10):
        await press(db, text, -1.0, update_id=update_id, rater=rater)
        await ratings.record_reason(db, text.id, rater, "boring", at=NOON)
    await ask_again(db, hers, 20, author="bob")
    await ask_again(db, his, 21, author="ada")
    await ask_again(db, his, 22, author="bob")
    for person in ("ada", "bob"):
        await people.set_preference(db, person, "tea", "own_taste", "on", at=NOON)
    await erasure.forget(db, "ada", LATER, named_in=lambda _: ())

    left = {
        table: [row[0] for row in await db.read(lambda c, q=f"SELECT {column} FROM {table}": c.execute(q).fetchall())]
        for table, column in (("reasons", "rater"), ("signals", "person"), ("preferences", "person"))
    }
    assert left == {"reasons": ["bob"], "signals": ["bob"], "preferences": ["bob"]}
