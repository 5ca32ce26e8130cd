"""Faults on demand: the next calls of a method are refused, never answered, or cut off after they took effect.

Knows how a fault looks, not how it is sent; `bot_api` does that.

Telegram's flood limits, as its FAQ states them. Knows chats by id and time in seconds, nothing else.

Source: core.telegram.org/bots/faq, "My bot is hitting limits": about 30 messages a second over all chats, one a
second in one chat with short bursts, 20 a minute in one group. A refused call does not count.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.sandbox.world.errors import ApiError, flood

_WORDS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}

ANY_METHOD = "*"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call.

    refuse: the call has no effect and gets `error`.
    hang: no answer comes; the caller's time-out decides.
    cut: the connection ends without an answer.
    hold: it is carried out at once, and answered once `until` is set.
    With `takes_effect`, a call that hangs or is cut has been carried out all the same.
    """

    kind: Literal["refuse", "hang", "cut", "hold"]
    error: ApiError | None = None
    takes_effect: bool = False
    until: asyncio.Event | None = None


class Faults:
    """Waiting faults per method ("*" is any), used up in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {}

    def refuse(
        self,
        method: str,
        status: int,
        *,
        times: int = 1,
        description: str | None = None,
        retry_after_seconds: int = 1,
    ) -> None:
        """Refuse the next `times` calls, for example with 429 (then with `retry_after`), 500 or 502."""
        error = flood(retry_after_seconds) if status == 429 else ApiError(status, _WORDS.get(status, "Bad Request"))
        if description is not None:
            error = ApiError(status, description, error.parameters)
        self._add(method, Fault("refuse", error), times)

    def hang(self, method: str, *, times: int = 1, takes_effect: bool = False) -> None:
        """Leave the next `times` calls without an answer."""
        self._add(method, Fault("hang", takes_effect=takes_effect), times)

    def cut(self, method: str, *, times: int = 1, takes_effect: bool = True) -> None:
        """Cut the connection of the next `times` calls, as a rule after they were carried out."""
        self._add(method, Fault("cut", takes_effect=takes_effect), times)

    def hold(self, method: str, *, times: int = 1) -> asyncio.Event:
        """Carry out the next `times` calls and keep their answers back until the returned event is set."""
        until = asyncio.Event()
        self._add(method, Fault("hold", takes_effect=True, until=until), times)
        return until

    def clear(self) -> None:
        """Forget all waiting faults."""
        self._waiting.clear()

    def next_for(self, method: str) -> Fault | None:
        """Take the fault that this call meets, if any."""
        for key in (method.lower(), ANY_METHOD):
            if waiting := self._waiting.get(key):
                return waiting.popleft()
        return None

    def _add(self, method: str, fault: Fault, times: int) -> None:
        self._waiting.setdefault(method.lower(), deque()).extend([fault] * times)


LIMITED_PREFIXES = ("send", "edit", "copy", "forward")
UNLIMITED = frozenset({"sendchataction", "sendmessagedraft"})


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """Messages and edits that pass; 0 turns a limit off. `chat_burst` may pass at once in one chat."""

    per_second: int = 30
    per_chat_per_second: float = 1.0
    chat_burst: int = 5
    per_group_per_minute: int = 20


class FloodGate:
    """Counts what passed and says how long to wait."""

    def __init__(self, limits: FloodLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._overall: deque[float] = deque()
        self._groups: dict[int | str, deque[float]] = {}
        self._tokens: dict[int | str, tuple[float, float]] = {}

    def wait_seconds(self, method: str, chat_id: int | str | None) -> int:
        """0 when the call passes (it is counted then), else whole seconds until it would."""
        name = method.lower()
        if chat_id is None or name in UNLIMITED or not name.startswith(LIMITED_PREFIXES):
            return 0
        moment = self._clock()
        group = self._groups.setdefault(chat_id, deque()) if str(chat_id).startswith(("-", "@")) else None
        wait = max(
            _window_wait(self._overall, self._limits.per_second, 1.0, moment),
            _window_wait(group, self._limits.per_group_per_minute, 60.0, moment),
            self._chat_wait(chat_id, moment),
        )
        if wait > 0:
            return math.ceil(wait)
        self._count(chat_id, group, moment)
        return 0

    def _chat_wait(self, chat_id: int | str, moment: float) -> float:
        if not self._limits.per_chat_per_second:
            return 0.0
        return (1.0 - self._left(chat_id, moment)) / self._limits.per_chat_per_second

    def _left(self, chat_id: int | str, moment: float) -> float:
        tokens, since = self._tokens.get(chat_id, (float(self._limits.chat_burst), moment))
        return min(tokens + (moment - since) * self._limits.per_chat_per_second, float(self._limits.chat_burst))

    def _count(self, chat_id: int | str, group: deque[float] | None, moment: float) -> None:
        self._overall.append(moment)
        if group is not None:
            group.append(moment)
        self._tokens[chat_id] = (self._left(chat_id, moment) - 1.0, moment)


def _window_wait(passed: deque[float] | None, limit: int, window_seconds: float, moment: float) -> float:
    """Seconds until fewer than `limit` calls lie in the window that ends now."""
    if passed is None or not limit:
        return 0.0
    while passed and passed[0] <= moment - window_seconds:
        passed.popleft()
    return 0.0 if len(passed) < limit else passed[0] + window_seconds - moment
