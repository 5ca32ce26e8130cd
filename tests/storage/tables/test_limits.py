"""A limit an hour counts what was done within it, also after a clock that was ahead, and holds for a person in many
chats at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.db.database import Database
from storage.db.errors import LimitReached
from storage.db.records import NewGeneration
from storage.tables import generations, moderation
from tests.storage.conftest import delivered, new_generation

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT_ONCE = 40
LIMIT = 5

Accept = Callable[[Database, NewGeneration, int], Awaitable[int]]
"""Accepts a prompt within a limit; returns how many texts are to be written for it."""


async def _one(db: Database, new: NewGeneration, per_hour: int) -> int:
    return int(await generations.accept(db, new, per_hour=per_hour) is not None)


async def _duel(db: Database, new: NewGeneration, per_hour: int) -> int:
    return len(await generations.accept_duel(db, new, replace(new, update_id=-new.update_id), per_hour=per_hour))


async def _inline(db: Database, new: NewGeneration, per_hour: int) -> int:
    offers = [(f"{new.update_id} {place}", replace(new, update_id=-10 * new.update_id - place)) for place in (1, 2)]
    return len(await generations.accept_inline_results(db, offers, private_chat="home", per_hour=per_hour))


def _numbers_of(outcomes: Sequence[int | BaseException]) -> list[int]:
    """What succeeded; whatever else than a limit was raised is raised here."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, LimitReached):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


async def test_what_is_dated_later_than_now_does_not_count(db: Database) -> None:
    for number, age in enumerate((-6 * HOUR, timedelta(0), HOUR / 2, 2 * HOUR), start=1):
        new = replace(new_generation(number), author="ada", created_at=NOW - age)
        accepted = await generations.accept(db, new)
        assert accepted is not None
        await moderation.record_report(db, accepted.id, "bob", at=NOW - age)
    assert await generations.count_within_hour(db, "ada", NOW) == 2
    assert await moderation.count_reports_within_hour(db, "bob", NOW) == 2


@pytest.mark.parametrize(("accept", "texts"), [(_one, 5), (_duel, 4), (_inline, 4)])
async def test_the_limit_of_prompts_holds_in_many_chats_at_once(db: Database, accept: Accept, texts: int) -> None:
    """Also where the clock's order is not that in which they are recorded."""
    prompts = [
        replace(new_generation(number, chat=f"group {number}"), created_at=NOW - timedelta(milliseconds=number))
        for number in range(1, AT_ONCE + 1)
    ]
    tried = await asyncio.gather(*(accept(db, prompt, LIMIT) for prompt in prompts), return_exceptions=True)
    assert sum(_numbers_of(tried)) == texts == await generations.count_within_hour(db, "ada", NOW)
    other = replace(prompts[0], update_id=900, author="bob")
    assert await accept(db, other, LIMIT) > 0, "somebody else's limit is their own"
    later = replace(prompts[0], update_id=901, created_at=NOW + HOUR + timedelta(seconds=1))
    assert await accept(db, later, LIMIT) > 0, "and an hour later there is room"


@pytest.mark.parametrize("accept", [_one, _duel, _inline])
async def test_kinds_of_prompts_share_a_limit_and_none_is_half_accepted(db: Database, accept: Accept) -> None:
    for number in range(1, LIMIT):
        await _one(db, replace(new_generation(number), created_at=NOW), LIMIT)
    room = await asyncio.gather(
        *(accept(db, replace(new_generation(number), created_at=NOW), LIMIT) for number in range(100, 110)),
        return_exceptions=True,
    )
    left = {_one: 1, _duel: 0, _inline: 0}[accept]
    assert sum(_numbers_of(room)) == left
    assert await generations.count_within_hour(db, "ada", NOW) == LIMIT - 1 + left


async def test_an_update_that_comes_again_is_not_refused_by_what_it_has_filled(db: Database) -> None:
    prompt = replace(new_generation(1), created_at=NOW)
    assert await _one(db, prompt, 1) == 1
    assert await _one(db, prompt, 1) == 0


async def test_the_limit_of_reports_holds_in_many_groups_at_once(db: Database) -> None:
    texts = [await delivered(db, number, chat=f"group {number}") for number in range(1, 21)]
    tried = await asyncio.gather(
        *(moderation.record_report(db, text.id, "bob", at=NOW, per_hour=LIMIT) for text in texts),
        return_exceptions=True,
    )
    assert _numbers_of(tried) == [True] * LIMIT
    hidden = [text.id for text in texts if (found := await generations.by_id(db, text.id)) and found.is_hidden]
    assert len(hidden) == LIMIT
    assert not await moderation.record_report(db, hidden[0], "bob", at=NOW, per_hour=LIMIT), (
        "filed already, not refused"
    )
