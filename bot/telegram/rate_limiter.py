"""The rate limiter: Telegram's limits, kept for every outgoing call, so that they are never exceeded.

Limits (core.telegram.org/bots/faq, "My bot is hitting limits"): 30 calls a second over all chats; in one chat one
message a second with short bursts; in one group 20 messages a minute, edits included. A call counts from its sending
until a window after its answer, so that no window of Telegram's own clock can hold more, however long calls travel.
Where Telegram asks one chat to wait, that chat waits and no other.

Of those who wait, the one for whom the least was sent lately goes first; and an update whose answer waits here holds up
no other (`bot.telegram.turns`).
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

from bot.common.errors import NotNow
from bot.messaging.messenger import Urgency
from bot.telegram import turns


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `seconds`; the last `kept` of them are for calls that cannot be turned away."""

    calls: int
    seconds: float
    kept: int


OVERALL = (Limit(30, 1.0, kept=10),)
PRIVATE_CHAT = (Limit(5, 5.0, kept=1),)
GROUP = (Limit(5, 5.0, kept=2), Limit(20, 60.0, kept=10))

_COUNTED = ("send", "edit", "copy", "forward")
_UNCOUNTED = frozenset({"sendChatAction", "sendMessageDraft"})
_IDLE_GATES = 4096
_TRY_AGAIN_SECONDS = 5.0


class _Gate:
    """Lets calls through as its limits allow: in order of urgency, then of how few calls there were lately for the
    same person, then of arrival."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = limits
        self._ended: deque[tuple[float, int]] = deque()
        """When calls ended, and for whom they were, as long as a limit still counts them."""
        self._under_way = 0
        self._had: Counter[int] = Counter()
        """For whom there are calls under way, or ended lately."""
        self._closed_until = 0.0
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        """In order of arrival, with whom they are for; a few hundred at most, as the inbox has bounds."""
        self._timer: asyncio.TimerHandle | None = None

    def is_idle(self) -> bool:
        """Whether nothing here has to be remembered."""
        now = self._drop_old()
        return now >= self._closed_until and not self._ended and not self._under_way and not self._waiting

    @asynccontextmanager
    async def slot(self, urgency: Urgency, whom: int) -> AsyncIterator[None]:
        """Wait for a turn, and count as under way while the block runs.

        Raises:
            NotNow: there is no room for something that does not wait.
        """
        await self._enter(urgency, whom)
        counts = True
        try:
            yield
        except NotNow:
            counts = False  # it was turned away by the next gate
            raise
        finally:
            self._leave(whom, counts=counts)

    async def _enter(self, urgency: Urgency, whom: int) -> None:
        wait = self._wait(urgency)
        if wait <= 0 and not self._waiting:
            self._count(whom)
            return
        if not urgency.waits:
            raise NotNow("There is no room for that now.", seconds=min(max(wait, 1.0), _TRY_AGAIN_SECONDS))
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((urgency, whom, turn))
        self._admit()
        if not turn.done():
            turns.give_way()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(whom, counts=False)
            raise

    def _count(self, whom: int) -> None:
        self._under_way += 1
        self._had[whom] += 1

    def _leave(self, whom: int, *, counts: bool) -> None:
        self._under_way -= 1
        if counts:
            self._ended.append((asyncio.get_running_loop().time(), whom))
        else:
            self._forget(whom)
        self._admit()

    def _forget(self, whom: int) -> None:
        self._had[whom] -= 1
        if not self._had[whom]:
            del self._had[whom]

    def close_for(self, seconds: float) -> None:
        """Telegram asks this chat to wait."""
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + seconds)
        self._admit()

    def _wait(self, urgency: Urgency) -> float:
        """Seconds until a call may begin; infinity if that depends on calls under way."""
        now = self._drop_old()
        wait = self._closed_until - now
        for limit in self._limits:
            counted = [end for end, _ in self._ended if end > now - limit.seconds]
            room = limit.calls - (0 if urgency.waits else limit.kept)
            excess = self._under_way + len(counted) - room + 1
            if excess > len(counted):
                return float("inf")
            if excess > 0:
                wait = max(wait, counted[excess - 1] + limit.seconds - now)
        return wait

    def _drop_old(self) -> float:
        """Forget the calls that no limit counts any more; returns the time."""
        now = asyncio.get_running_loop().time()
        longest = max((limit.seconds for limit in self._limits), default=0.0)
        while self._ended and self._ended[0][0] <= now - longest:
            self._forget(self._ended.popleft()[1])
        return now

    def _admit(self) -> None:
        """Let in whoever may pass now, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._drop_old()
            first = min(self._waiting, key=lambda one: (not one[2].done(), one[0], self._had[one[1]]))
            urgency, whom, turn = first
            wait = 0.0 if turn.done() else self._wait(urgency)
            if wait > 0:
                if wait != float("inf"):  # else the end of a call under way brings us back here
                    self._timer = asyncio.get_running_loop().call_later(wait, self._admit)
                return
            self._waiting.remove(first)
            if not turn.done():
                self._count(whom)
                turn.set_result(None)


class RateLimiter(BaseRateLimiter[Urgency]):
    """Every call of the bot but its asking for updates goes through here.

    Without `limits`, calls wait only where Telegram asks for it; that is for a stand-in, which holds nobody back.
    """

    def __init__(self, *, limits: bool = True, on_flood: Callable[[], None] = lambda: None) -> None:
        self._limits = limits
        self._overall = _Gate(OVERALL if limits else ())
        self._chats: dict[str, _Gate] = {}
        self._on_flood = on_flood

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to release."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the library's own
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: Urgency | None,
    ) -> Any:  # noqa: ANN401 - the library's own
        """Make the call when its turn has come.

        Raises:
            NotNow: there is no room for something that does not wait.
            TelegramError: the call's own.
        """
        urgency = Urgency.TEXT if rate_limit_args is None else rate_limit_args
        chat, whom = data.get("chat_id"), turns.sender()
        if chat is None or endpoint in _UNCOUNTED or not endpoint.startswith(_COUNTED):
            async with self._overall.slot(urgency, whom):
                return await callback(*args, **kwargs)
        gate = self._gate(str(chat))
        async with gate.slot(urgency, whom), self._overall.slot(urgency, whom):
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                gate.close_for(seconds_of(error))
                self._on_flood()
                turns.give_way()  # it will be tried again when the chat may be written to
                raise

    def _gate(self, chat: str) -> _Gate:
        if chat not in self._chats:
            if len(self._chats) >= _IDLE_GATES:
                self._chats = {name: gate for name, gate in self._chats.items() if not gate.is_idle()}
            limits = GROUP if chat.startswith(("-", "@")) else PRIVATE_CHAT
            self._chats[chat] = _Gate(limits if self._limits else ())
        return self._chats[chat]


def seconds_of(error: RetryAfter) -> float:
    """How long Telegram asks to wait."""
    after = error.retry_after
    return float(after) if isinstance(after, int) else after.total_seconds()
