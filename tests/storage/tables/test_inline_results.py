"""Takes of inline mode: offered, chosen or purged, rated under the consents of private chats, and forgotten."""

from datetime import timedelta

from storage.db.database import Database
from storage.db.records import Generation, RatingEvent, Tally
from storage.privacy import erasure, retention
from storage.tables import generations, people, ratings
from tests.storage.conftest import NOON, new_generation

DAY_AFTER = NOON + timedelta(hours=24, minutes=1)


async def written(db: Database, *numbers: int, author: str = "ada") -> list[Generation]:
    """Takes of a person, one for each number, with their texts."""
    takes = [(f"token {number}", new_generation(-number, author=author, chat=f"{author}'s")) for number in numbers]
    for take in await generations.accept_inline_results(db, takes, private_chat=f"{author}'s"):
        assert await generations.write_text(db, take.id, text=f"Tea, {take.id}.", version="starter", hashes=(take.id,))
    return await generations.written_inline_results(db, list(range(1, 1 + len(numbers))))


async def rate(db: Database, take: Generation, rater: str, update_id: int) -> None:
    await ratings.record_button(
        db,
        RatingEvent(
            update_id=update_id, generation=take.id, rater=rater, source="button", value=1.0, emoji="👍", at=NOON
        ),
    )


async def test_a_take_is_delivered_once_it_is_chosen_and_may_stand_in_several_messages(db: Database) -> None:
    one, other = await written(db, 1, 2)
    assert await generations.unfinished(db) == [] and await generations.count_unfinished(db) == 0
    assert await db.read(generations.delivered) == []
    for shown_in in ("here", "there", "here"):
        chosen = await generations.choose_inline_result(db, "token 1", shown_in=shown_in, at=NOON)
        assert chosen is not None and (chosen.id, chosen.state, chosen.inline_token) == (one.id, "delivered", "token 1")
    assert await generations.inline_messages_of(db, one.id, newest=9) == ["there", "here"]
    assert await generations.inline_messages_of(db, one.id, newest=1) == ["there"]
    assert await generations.choose_inline_result(db, "no such token", shown_in="here", at=NOON) is None
    assert [take.id for take in await db.read(generations.delivered)] == [one.id]
    stands = await generations.choose_inline_result(db, "token 2", shown_in="here", at=NOON)
    assert stands is not None and stands.id == one.id, "a message shows what it has shown first"
    assert other.inline_token == "token 2"


async def test_an_update_that_comes_again_offers_nothing_anew(db: Database) -> None:
    await written(db, 1)
    assert await generations.accept_inline_results(db, [("token 9", new_generation(-1))], private_chat="ada's") == []


async def test_takes_that_nobody_has_chosen_go_after_a_day(db: Database) -> None:
    one, other = await written(db, 1, 2)
    await people.grant(db, "ada", "ada's", text_version=2, at=NOON)
    await generations.choose_inline_result(db, "token 1", shown_in="here", at=NOON)
    assert await retention.purge_unconsented(db, before=NOON - timedelta(hours=1)) == (0, 0)
    assert await retention.purge_unconsented(db, before=DAY_AFTER) == (1, 0)
    kept = await generations.by_id(db, one.id)
    assert kept is not None and kept.text == one.text, "its author has agreed"
    assert await generations.written_inline_results(db, [one.id, other.id]) == [kept]
    assert await generations.choose_inline_result(db, "token 2", shown_in="there", at=NOON) is None


async def test_a_yes_to_a_question_that_did_not_speak_of_inline_mode_keeps_nothing(db: Database) -> None:
    (take,) = await written(db, 1)
    await people.grant(db, "ada", "ada's", text_version=1, at=NOON)
    await generations.choose_inline_result(db, "token 1", shown_in="here", at=NOON)
    assert await retention.purge_unconsented(db, before=DAY_AFTER) == (1, 0)
    kept = await generations.by_id(db, take.id)
    assert kept is not None and (kept.text, kept.messages) == (None, ())


async def test_a_dropped_take_loses_its_prompt_and_never_gets_a_text(db: Database) -> None:
    await written(db, 1)
    (take,) = await generations.accept_inline_results(db, [("token 2", new_generation(-2))], private_chat="ada's")
    await generations.drop_inline_results(db, [1, take.id], at=NOON)
    left = await generations.by_id(db, take.id)
    assert left is not None and (left.state, left.messages) == ("failed", ())
    assert not await generations.write_text(db, take.id, text="Too late.", version="starter")
    assert [each.id for each in await generations.written_inline_results(db, [1, take.id])] == [1], (
        "what is written stays to be chosen"
    )


async def test_what_counts_under_a_take_is_the_consent_of_each_persons_own_private_chat(db: Database) -> None:
    (take,) = await written(db, 1)
    await generations.choose_inline_result(db, "token 1", shown_in="here", at=NOON)
    for update_id, rater in enumerate(("ada", "bob", "cyd", "dee"), start=10):
        await people.record_private_chat(db, rater, f"{rater}'s", at=NOON)
        await rate(db, take, rater, update_id)
    for person, chat in (("bob", "bob's"), ("cyd", "ada's"), ("dee", "a group")):
        await people.grant(db, person, chat, text_version=2, at=NOON)
    assert await ratings.consented(db) == [], "the author has not agreed"
    await people.grant(db, "ada", "ada's", text_version=2, at=NOON)
    (text,) = await ratings.consented(db)
    assert {rating.rater for rating in text.ratings} == {"ada", "bob"}
    assert await retention.purge_unconsented(db, before=DAY_AFTER) == (0, 2)
    assert await ratings.tally(db, take.id) == Tally(4, 0)
    await people.revoke(db, "bob", "bob's", at=NOON)
    (text,) = await ratings.consented(db)
    assert {rating.rater for rating in text.ratings} == {"ada"}
    await people.grant(db, "bob", "bob's", text_version=1, at=DAY_AFTER)
    (text,) = await ratings.consented(db)
    assert {rating.rater for rating in text.ratings} == {"ada"}, "the first text did not speak of inline mode"


async def test_an_erasure_takes_takes_messages_and_homes(db: Database) -> None:
    await written(db, 1, 2)
    await generations.choose_inline_result(db, "token 1", shown_in="here", at=NOON)
    erased = await db.write(lambda c: erasure.erase(c, "ada", before=NOON + timedelta(hours=1)))
    assert erased.generations == (2, 1)
    for table in ("offers", "inline_messages", "homes", "deliveries", "fingerprints", "people"):
        (left,) = await db.read(lambda c, table=table: c.execute(f"SELECT count(*) FROM {table}").fetchone())
        assert left == 0, table
    assert await generations.choose_inline_result(db, "token 1", shown_in="here", at=NOON) is None


async def test_of_the_messages_that_show_a_text_the_newest_are_kept(db: Database) -> None:
    (take,) = await written(db, 1)
    for number in range(250):
        await generations.choose_inline_result(db, "token 1", shown_in=f"message {number}", at=NOON)
    assert await generations.inline_messages_of(db, take.id, newest=1) == ["message 249"]
    assert len(await generations.inline_messages_of(db, take.id, newest=1000)) == 100
    again = await generations.choose_inline_result(db, "token 1", shown_in="message 0", at=NOON)
    assert again is not None and again.id == take.id, "a press under an older one still finds it"
