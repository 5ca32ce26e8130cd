"""The line before the engine: turns go round among people, and everybody can be told how many are before them."""

import asyncio
from contextlib import ExitStack

import pytest

from bot.generation.pipeline import Line, Ticket


def has_turn(*tickets: Ticket) -> list[bool]:
    return [ticket.turn.is_set() for ticket in tickets]


async def test_one_who_asks_much_holds_up_nobody() -> None:
    line = Line(2)
    finished: list[str] = []

    async def write(person: str) -> None:
        with line.place(person) as ticket:
            await ticket.turn.wait()
            await asyncio.sleep(0)
            finished.append(person)

    await asyncio.gather(*(write("heavy") for _ in range(20)), *(write(person) for person in "abc"))
    assert {*"abc"} <= set(finished[:6])
    assert finished.count("heavy") == 20


async def test_whoever_leaves_early_or_breaks_off_frees_the_place() -> None:
    line = Line(1)
    with ExitStack() as first:
        ada = first.enter_context(line.place("ada"))
        with line.place("bob") as bob, pytest.raises(RuntimeError), line.place("eve") as eve:
            assert has_turn(ada, bob, eve) == [True, False, False]
            first.close()
            assert has_turn(bob, eve) == [True, False]
            raise RuntimeError
        with line.place("eve") as again:
            assert has_turn(again) == [True]


async def test_the_number_ahead_counts_those_in_line_and_those_who_wait_in_the_engine() -> None:
    line = Line(2)
    with ExitStack() as stack:
        one, two, three, four = [stack.enter_context(line.place(person)) for person in "abcd"]
        assert [line.ahead_of(ticket) for ticket in (one, two, three, four)] == [None, None, 0, 1]
        one.wait(queued=7)
        assert [line.ahead_of(ticket) for ticket in (one, two, three, four)] == [7, None, 1, 2]
        one.queued = None
        assert line.ahead_of(three) == 0


async def test_the_engine_knows_a_person_by_a_name_that_lasts_no_longer_than_their_texts() -> None:
    line = Line(1)
    with line.place("ada") as first:
        with line.place("ada") as second, line.place("bob") as other:
            assert first.name == second.name != other.name
        assert "ada" not in first.name
    with line.place("ada") as later:
        assert later.name != first.name
