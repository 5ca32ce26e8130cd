"""The bound on requests at the engine: nobody fills it alone, and everybody can be told how many are before them."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from bot.generation.pipeline import EngineRequests, Wait
from engine.errors import AnswerFailed


async def begun(requests: EngineRequests, stack: AsyncExitStack, person: str) -> tuple[Wait, "asyncio.Task[str]"]:
    """A request that has its turn or waits for it."""
    wait = Wait()
    task = asyncio.create_task(stack.enter_async_context(requests.request_for(person, wait)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return wait, task


async def test_one_who_asks_much_holds_up_nobody() -> None:
    requests = EngineRequests(4)
    finished: list[str] = []

    async def write(person: str) -> None:
        async with requests.request_for(person, Wait()):
            await asyncio.sleep(0)
            finished.append(person)

    await asyncio.gather(*(write("heavy") for _ in range(20)), *(write(person) for person in "abc"))
    assert {*"abc"} <= set(finished[:6])
    assert finished.count("heavy") == 20


async def test_at_most_so_many_are_open_and_whoever_leaves_early_or_breaks_off_frees_the_place() -> None:
    requests = EngineRequests(1)
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        ada, _ = await begun(requests, first, "ada")
        bob, bobs = await begun(requests, stack, "bob")
        eve, eves = await begun(requests, stack, "eve")
        assert [wait.is_asked for wait in (ada, bob, eve)] == [True, False, False]
        bobs.cancel()
        await first.aclose()
        await eves
        assert [wait.is_asked for wait in (bob, eve)] == [False, True]
    with pytest.raises(RuntimeError):
        async with requests.request_for("cyd", Wait()):
            raise RuntimeError
    async with requests.request_for("dan", again := Wait()):
        assert again.is_asked


async def test_the_number_ahead_is_the_engines_or_else_counts_all_who_wait() -> None:
    requests = EngineRequests(8)
    async with AsyncExitStack() as stack:
        waits = [(await begun(requests, stack, person))[0] for person in "abcdefgh"]
        (nine, task), (ten, other) = [await begun(requests, stack, person) for person in "ik"]
        assert [requests.ahead_of(wait) for wait in (*waits[:2], nine, ten)] == [None, None, 1, 1]
        waits[0].ahead = 7
        assert [requests.ahead_of(wait) for wait in (waits[0], nine)] == [7, 2]
        waits[0].ahead = None
        assert requests.ahead_of(nine) == 1
        task.cancel()
        other.cancel()


async def test_the_engine_knows_a_person_by_a_name_that_lasts_no_longer_than_their_texts() -> None:
    requests = EngineRequests(8)
    async with requests.request_for("ada", Wait()) as first:
        async with requests.request_for("ada", Wait()) as second, requests.request_for("bob", Wait()) as other:
            assert first == second != other
        assert "ada" not in first
    async with requests.request_for("ada", Wait()) as later:
        assert later != first


async def test_texts_over_which_the_engine_has_died_are_asked_for_one_at_a_time_until_one_is_found_out() -> None:
    requests = EngineRequests(8)
    innocent, guilty, late, fresh = (Wait() for _ in range(4))
    for wait in (innocent, guilty, late):
        async with requests.turn(wait):
            requests.engine_died(wait)
    asked: list[Wait] = []
    may_end = asyncio.Event()

    async def write(wait: Wait) -> None:
        async with requests.turn(wait):
            asked.append(wait)
            await may_end.wait()
            if wait is guilty:
                requests.engine_died(wait)

    tasks = [asyncio.create_task(write(wait)) for wait in (innocent, guilty, late, fresh)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked == [innocent, fresh], "what was not in its hands when it died need not wait"
    may_end.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [type(None), AnswerFailed, type(None), type(None)]
    assert asked == [innocent, fresh, guilty, late]
    async with requests.turn(late):
        requests.engine_died(late)  # for the first time since, so it is asked for again
