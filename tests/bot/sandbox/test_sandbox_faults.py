"""Faults on demand and flood limits, as python-telegram-bot meets them."""

import pytest
from telegram.error import NetworkError, RetryAfter

from bot.sandbox.api.faults import FloodGate, FloodLimits
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


class Moment:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_in_one_chat_and_then_one_a_second():
    moment = Moment()
    gate = FloodGate(FloodLimits(chat_burst=3), moment)
    assert [gate.wait_seconds("sendmessage", "5") for _ in range(4)] == [0, 0, 0, 1]
    moment.seconds += 1.0
    assert [gate.wait_seconds("editmessagetext", "5") for _ in range(2)] == [0, 1]


def test_a_group_gets_twenty_a_minute_edits_included():
    moment = Moment()
    gate = FloodGate(FloodLimits(per_chat_per_second=0), moment)
    for number in range(20):
        assert gate.wait_seconds(("sendmessage", "editmessagetext")[number % 2], "-5") == 0
    moment.seconds += 10
    assert gate.wait_seconds("sendmessage", "-5") == 50
    assert gate.wait_seconds("getchat", "-5") == 0
    assert gate.wait_seconds("sendmessage", "-6") == 0


def test_all_chats_together_get_thirty_a_second():
    gate = FloodGate(FloodLimits(), Moment())
    waits = [gate.wait_seconds("sendmessage", str(chat)) for chat in range(1, 32)]
    assert waits == [0] * 30 + [1]
