"""One verdict per person and generation: the newest by (date, update_id), whatever the order of arrival."""

import itertools
from datetime import timedelta

from storage.db.database import Database
from storage.db.records import RatingEvent, Source, Tally
from storage.tables import people, ratings
from tests.storage.conftest import NOON, delivered

UPDATES = itertools.count(5000)


def event(
    generation: int,
    value: float | None,
    *,
    rater: str = "bob",
    source: Source = "reaction",
    seconds: int = 0,
    update_id: int | None = None,
) -> RatingEvent:
    return RatingEvent(
        update_id=next(UPDATES) if update_id is None else update_id,
        generation=generation,
        rater=rater,
        source=source,
        value=value,
        emoji="x",
        at=NOON + timedelta(seconds=seconds),
    )


async def current(db: Database) -> list[float]:
    return [rating.value for rating in await db.read(ratings.current)]


async def test_the_newest_event_stands_in_every_order_of_arrival(db: Database) -> None:
    for number, order in enumerate(itertools.permutations(range(3))):
        generation = await delivered(db, number + 1)
        events = [
            event(generation.id, 1.0, seconds=1),
            event(generation.id, -1.0, seconds=2),
            event(generation.id, 0.5, seconds=2),
        ]
        for index in order:
            await ratings.record(db, events[index])
    assert await current(db) == [0.5] * 6


async def test_a_removed_reaction_removes_the_rating_even_if_it_arrives_first(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record(db, event(generation.id, None, seconds=2))
    await ratings.record(db, event(generation.id, 1.0, seconds=1))
    assert await current(db) == []


async def test_a_repeated_update_changes_nothing(db: Database) -> None:
    generation = await delivered(db, 1)
    up = event(generation.id, 1.0, source="button")
    for _ in range(3):
        await ratings.record_button(db, up)
    assert await current(db) == [1.0]


async def test_the_same_button_again_takes_the_rating_back(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record_button(db, event(generation.id, 1.0, source="button"))
    recorded = await ratings.record_button(db, event(generation.id, 1.0, source="button", seconds=1))
    tally = await ratings.tally(db, generation.id)
    assert recorded.value is None and tally == Tally() and await current(db) == []


async def test_reactions_that_overtake_a_press_leave_what_it_took_back(db: Database) -> None:
    for number, order in enumerate(itertools.permutations(range(3))):
        generation = await delivered(db, number + 1)
        down = [event(generation.id, -1.0, source="button")]
        reactions = [event(generation.id, None, seconds=1), event(generation.id, None, seconds=1)]
        said = down + reactions
        for index in order:
            await (ratings.record_button if said[index].source == "button" else ratings.record)(db, said[index])
        again = await ratings.record_button(db, event(generation.id, -1.0, source="button", seconds=2))
        assert again.value is None
    assert await current(db) == []


async def test_a_repeated_press_is_answered_as_it_was(db: Database) -> None:
    generation = await delivered(db, 1)
    up = event(generation.id, 1.0, source="button")
    assert [(await ratings.record_button(db, up)).value for _ in range(2)] == [1.0, 1.0]


async def test_taking_a_reaction_back_leaves_a_later_button(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record(db, event(generation.id, -1.0))
    await ratings.record_button(db, event(generation.id, 1.0, source="button", seconds=1))
    await ratings.record(db, event(generation.id, None, seconds=2))
    tally = await ratings.tally(db, generation.id)
    assert await current(db) == [1.0] and tally == Tally(likes=1)


async def test_the_tally_counts_people(db: Database) -> None:
    generation = await delivered(db, 1)
    for rater, value in (("ada", 1.0), ("bob", 0.4), ("eve", -0.6), ("ada", 0.9)):
        await ratings.record(db, event(generation.id, value, rater=rater, seconds=next(UPDATES)))
        tally = await ratings.tally(db, generation.id)
    assert tally == Tally(likes=2, dislikes=1)


async def test_only_what_author_and_rater_consent_to_now_may_teach(db: Database) -> None:
    generation = await delivered(db, 1, author="ada")
    own = event(generation.id, 1.0, rater="ada")
    await ratings.record(db, own)
    await ratings.record(db, event(generation.id, 1.0, rater="bob"))
    assert await ratings.consented(db) == []
    await people.grant(db, "bob", "tea", text_version=1, at=NOON)
    assert await ratings.consented(db) == []
    await people.grant(db, "ada", "tea", text_version=1, at=NOON)
    (text,) = await ratings.consented(db)
    assert [rating.rater for rating in text.ratings] == ["ada", "bob"]
    await people.revoke(db, "bob", "tea", at=NOON + timedelta(days=1))
    (text,) = await ratings.consented(db)
    assert [rating.rater for rating in text.ratings] == ["ada"]


async def test_consent_in_one_chat_is_none_in_another(db: Database) -> None:
    generation = await delivered(db, 1, author="ada", chat="coffee")
    await ratings.record(db, event(generation.id, 1.0, rater="ada"))
    await people.grant(db, "ada", "tea", text_version=1, at=NOON)
    assert await ratings.consented(db) == []


async def test_a_new_consent_text_asks_anew_and_keeps_the_history(db: Database) -> None:
    assert await people.grant(db, "ada", "tea", text_version=1, at=NOON)
    assert not await people.grant(db, "ada", "tea", text_version=1, at=NOON + timedelta(hours=1))
    assert await people.grant(db, "ada", "tea", text_version=2, at=NOON + timedelta(hours=2))
    assert not await people.grant(db, "ada", "tea", text_version=1, at=NOON + timedelta(hours=3)), "an old question"
    rows = await db.read(lambda c: [tuple(r) for r in c.execute("SELECT text_version, revoked_at FROM consents")])
    assert rows == [(1, (NOON + timedelta(hours=2)).isoformat()), (2, None)]


async def test_of_opting_in_and_out_again_and_again_the_newest_are_kept(db: Database) -> None:
    for number in range(130):
        await people.grant(db, "ada", "tea", text_version=1, at=NOON + timedelta(seconds=2 * number))
        await people.revoke(db, "ada", "tea", at=NOON + timedelta(seconds=2 * number + 1))
    await people.grant(db, "ada", "tea", text_version=1, at=NOON + timedelta(days=1))
    query = "SELECT max(revoked_at), count(*) FROM consents"
    last, count = await db.read(lambda c: tuple(c.execute(query).fetchone()))
    assert (last, count) == ((NOON + timedelta(seconds=259)).isoformat(), 51)
    assert await people.has_consented(db, "ada", "tea")


async def test_a_reaction_right_after_a_press_stands_even_if_our_clock_is_ahead(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record_button(db, event(generation.id, 1.0, source="button", seconds=20))
    await ratings.record(db, event(generation.id, -1.0, seconds=0))
    assert await current(db) == [-1.0]


async def test_a_reaction_after_a_press_stands_even_if_the_press_is_handled_hours_later(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record(db, event(generation.id, -1.0, seconds=60, update_id=11))
    await ratings.record_button(db, event(generation.id, 1.0, source="button", seconds=7_200, update_id=10))
    assert await current(db) == [-1.0]


async def test_dates_decide_when_telegram_starts_its_ids_anew(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record_button(db, event(generation.id, 1.0, source="button", update_id=900_000))
    await ratings.record(db, event(generation.id, -1.0, seconds=8 * 86_400, update_id=17))
    assert await current(db) == [-1.0]


async def test_a_button_counts_even_if_our_clock_is_behind_telegrams(db: Database) -> None:
    generation = await delivered(db, 1)
    await ratings.record(db, event(generation.id, -1.0, seconds=300))
    await ratings.record_button(db, event(generation.id, 1.0, source="button", seconds=0))
    assert await current(db) == [1.0]
    await ratings.record(db, event(generation.id, -0.5, seconds=301))
    assert await current(db) == [-0.5]
