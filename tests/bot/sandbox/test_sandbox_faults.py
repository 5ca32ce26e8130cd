"""Faults on demand and flood limits, as python-telegram-bot meets them."""

import pytest
from telegram.error import NetworkError, RetryAfter

from bot.sandbox.api.faults import FloodLimits
from bot.sandbox.server import Sandbox
from tests.bot.sandbox.test_sandbox import application, person_and_group


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize(("status", "error"), [(429, RetryAfter), (500, NetworkError), (502, NetworkError)])
async def test_a_fault_meets_the_next_calls_and_then_is_over(sandbox, status, error):
    _, group = person_and_group(sandbox)
    sandbox.faults.refuse("sendMessage", status, times=2, retry_after_seconds=3)
    async with application(sandbox) as app:
        for _ in range(2):
            with pytest.raises(error):
                await app.bot.send_message(group.id, "a text")
        await app.bot.send_message(group.id, "a text")
    assert [call.status for call in sandbox.calls_of("sendMessage")] == [status, status, 200]


async def test_a_cut_connection_may_have_delivered_the_message(sandbox):
    _, group = person_and_group(sandbox)
    sandbox.faults.cut("sendMessage")
    async with application(sandbox) as app:
        with pytest.raises(NetworkError):
            await app.bot.send_message(group.id, "delivered all the same")
    assert sandbox.world.messages(group)[-1].text == "delivered all the same"
    assert [call.status for call in sandbox.calls_of("sendMessage")] == [0]


async def test_a_call_that_hangs_ends_by_the_callers_time_out(sandbox):
    _, group = person_and_group(sandbox)
    sandbox.faults.hang("sendMessage")
    async with application(sandbox) as app:
        with pytest.raises(NetworkError, match="Timed out"):
            await app.bot.send_message(group.id, "never", read_timeout=0.2)
    assert all(message.text != "never" for message in sandbox.world.messages(group))


async def test_flood_limits_tell_how_long_to_wait():
    async with Sandbox(flood_limits=FloodLimits(chat_burst=3, per_group_per_minute=0)) as sandbox:
        _, group = person_and_group(sandbox)
        async with application(sandbox) as app:
            for number in range(3):
                await app.bot.send_message(group.id, str(number))
            with pytest.raises(RetryAfter) as refusal:
                await app.bot.send_message(group.id, "too much")
    assert refusal.value._retry_after.total_seconds() == 1
