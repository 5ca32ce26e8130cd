"""Telegram's limits are never exceeded, urgent calls go first, and one chat that must wait holds up no other."""

import asyncio
from collections.abc import Callable

import pytest
from telegram.error import RetryAfter

from bot.common.errors import NotNow
from bot.messaging.messenger import Urgency
from bot.telegram import rate_limiter
from bot.telegram.rate_limiter import Limit, RateLimiter
from tests.support.virtual_time import in_virtual_time

Seen = list[tuple[float, int]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "OVERALL", (Limit(6, 0.2, kept=2),))
    monkeypatch.setattr(rate_limiter, "PRIVATE_CHAT", (Limit(2, 0.2, kept=1),))
    monkeypatch.setattr(rate_limiter, "GROUP", (Limit(2, 0.1, kept=1), Limit(4, 0.4, kept=2)))


class Telegram:
    """Notes when calls arrive, after a journey of varying length."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self.names: list[str] = []

    def call(
        self,
        limiter: RateLimiter,
        chat: int | None,
        *,
        urgency: Urgency | None = None,
        name: str = "",
        endpoint: str = "sendMessage",
        error: Exception | None = None,
    ) -> "asyncio.Task[object]":
        async def arrive() -> bool:
            await asyncio.sleep((len(self.seen) % 5) * 0.01)
            self.seen.append((asyncio.get_running_loop().time(), chat or 0))
            self.names.append(name)
            await asyncio.sleep(0.005)
            if error is not None:
                raise error
            return True

        data = {} if chat is None else {"chat_id": chat}
        return asyncio.ensure_future(limiter.process_request(arrive, (), {}, endpoint, data, urgency))


def fullest(seen: Seen, seconds: float, wanted: Callable[[int], bool] = lambda _: True) -> int:
    """The most arrivals in any window of so many seconds."""
    moments = sorted(moment for moment, chat in seen if wanted(chat))
    return max(sum(start <= moment < start + seconds for moment in moments) for start in moments)


@in_virtual_time
async def test_no_window_ever_holds_more_than_the_limits() -> None:
    limiter, telegram = RateLimiter(), Telegram()
    chats = [1, 2, 3, 4, -5, -6]
    await asyncio.gather(*(telegram.call(limiter, chats[number % 6]) for number in range(60)))
    assert len(telegram.seen) == 60
    assert fullest(telegram.seen, 0.2) <= 6
    for chat in chats:
        assert fullest(telegram.seen, 0.2 if chat > 0 else 0.1, lambda each, chat=chat: each == chat) <= 2
    assert all(fullest(telegram.seen, 0.4, lambda each, chat=chat: each == chat) <= 4 for chat in (-5, -6))


@in_virtual_time
async def test_final_texts_go_before_placeholders_and_those_in_order_of_arrival() -> None:
    limiter, telegram = RateLimiter(), Telegram()
    calls = [telegram.call(limiter, 1, name=f"text {number}") for number in range(4)]
    calls += [telegram.call(limiter, 1, name=f"final {number}", urgency=Urgency.FINAL) for number in range(2)]
    await asyncio.gather(*calls)
    assert telegram.names == ["text 0", "text 1", "final 0", "final 1", "text 2", "text 3"]


@in_virtual_time
async def test_a_preview_never_waits_and_never_takes_the_last_place() -> None:
    limiter, telegram = RateLimiter(), Telegram()
    await telegram.call(limiter, 1)
    with pytest.raises(NotNow):
        await telegram.call(limiter, 1, urgency=Urgency.PREVIEW)
    await telegram.call(limiter, 1, urgency=Urgency.FINAL)
    assert len(telegram.seen) == 2
    await asyncio.sleep(0.25)
    await telegram.call(limiter, 1, urgency=Urgency.PREVIEW)


@in_virtual_time
async def test_a_chat_that_telegram_holds_back_waits_and_no_other_does() -> None:
    floods: list[int] = []
    limiter, telegram = RateLimiter(on_flood=lambda: floods.append(1)), Telegram()
    with pytest.raises(RetryAfter):
        await telegram.call(limiter, 1, error=RetryAfter(1))
    waiting = telegram.call(limiter, 1, name="held back")
    await telegram.call(limiter, 2, name="free")
    assert floods == [1] and telegram.names == ["", "free"] and not waiting.done()
    await waiting
    assert telegram.seen[-1][0] - telegram.seen[0][0] >= 1.0


@in_virtual_time
async def test_someone_who_gives_up_waiting_leaves_no_gap() -> None:
    limiter, telegram = RateLimiter(), Telegram()
    calls = [telegram.call(limiter, 1, name=str(number)) for number in range(5)]
    await asyncio.sleep(0.01)
    calls[2].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert telegram.names == ["0", "1", "3", "4"]


@in_virtual_time
async def test_only_messages_count_against_a_chat() -> None:
    limiter, telegram = RateLimiter(), Telegram()
    await asyncio.gather(*(telegram.call(limiter, 1, endpoint="sendChatAction") for _ in range(4)))
    assert fullest(telegram.seen, 0.2) == 4


@in_virtual_time
async def test_chats_that_have_gone_quiet_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "_IDLE_GATES", 3)
    limiter, telegram = RateLimiter(), Telegram()
    for chat in range(1, 4):
        await telegram.call(limiter, chat)
    await asyncio.sleep(0.25)
    await telegram.call(limiter, 4)
    assert len(limiter._chats) == 1


@in_virtual_time
async def test_without_limits_a_chat_waits_only_where_telegram_asks_for_it() -> None:
    limiter, telegram = RateLimiter(limits=False), Telegram()
    await asyncio.gather(*(telegram.call(limiter, -1, urgency=Urgency.PREVIEW) for _ in range(20)))
    assert fullest(telegram.seen, 0.3) == 20
    with pytest.raises(RetryAfter):
        await telegram.call(limiter, -1, error=RetryAfter(1))
    waiting = telegram.call(limiter, -1)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await waiting


@in_virtual_time
async def test_of_those_who_wait_the_one_goes_first_for_whom_least_was_sent_lately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limiter, telegram, whose = RateLimiter(), Telegram(), ["flood"]
    people = {"flood": 1, "stranger": 2, "other": 3}
    monkeypatch.setattr(rate_limiter.turns, "sender", lambda: people[whose[0]])
    calls = [telegram.call(limiter, -1, name="flood") for _ in range(12)]
    await asyncio.sleep(0.25)
    before = len(telegram.names)
    for whose[0] in ("stranger", "other", "stranger"):
        calls.append(telegram.call(limiter, -1, name=whose[0]))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert set(telegram.names[before : before + 3]) == {"stranger", "other", "flood"} or set(
        telegram.names[before : before + 2]
    ) == {"stranger", "other"}
    assert len(telegram.names) == 15
