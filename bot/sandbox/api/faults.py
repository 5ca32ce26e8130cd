"""How the stand-in refuses what a method would allow: faults on demand, and Telegram's flood limits."""

import asyncio
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.sandbox.world.errors import ApiError, flood

ANY_METHOD = "*"
_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


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
        self._waiting: dict[str, deque[Fault]] = defaultdict(deque)

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
        error = flood(retry_after_seconds) if status == 429 else ApiError(status, _REASONS.get(status, "Bad Request"))
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
        return next((self._waiting[key].popleft() for key in (method.lower(), ANY_METHOD) if self._waiting[key]), None)

    def _add(self, method: str, fault: Fault, times: int) -> None:
        self._waiting[method.lower()].extend([fault] * times)


LIMITED_PREFIXES = ("send", "edit")
"""How the names of the methods begin, in lower case, that the limits are for."""


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """Messages and edits that pass; 0 turns a limit off. `chat_burst` may pass at once in one chat.

    Source: core.telegram.org/bots/faq, "My bot is hitting limits": about 30 messages a second over all chats, one a
    second in one chat with short bursts, 20 a minute in one group.
    """

    per_second: int = 30
    per_chat_per_second: float = 1.0
    chat_burst: int = 5
    per_group_per_minute: int = 20


class FloodGate:
    """Counts what passed and says how long to wait; a refused call does not count."""

    def __init__(self, limits: FloodLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._overall: deque[float] = deque()
        self._groups: dict[str, deque[float]] = defaultdict(deque)
        self._tokens: dict[str, tuple[float, float]] = {}
        """By chat: how many more may pass at that moment."""

    def wait_seconds(self, method: str, chat_id: str) -> int:
        """0 when the call passes (it is counted then), else whole seconds until it would."""
        if not chat_id or not method.startswith(LIMITED_PREFIXES):
            return 0
        moment, limits = self._clock(), self._limits
        windows = [(self._overall, limits.per_second, 1.0)]
        if chat_id.startswith("-"):
            windows.append((self._groups[chat_id], limits.per_group_per_minute, 60.0))
        tokens, since = self._tokens.get(chat_id, (float(limits.chat_burst), moment))
        tokens = min(tokens + (moment - since) * limits.per_chat_per_second, float(limits.chat_burst))
        wait = max(_window_wait(*window, moment) for window in windows)
        if limits.per_chat_per_second:
            wait = max(wait, (1.0 - tokens) / limits.per_chat_per_second)
        if wait > 0:
            return math.ceil(wait)
        for passed, _, _ in windows:
            passed.append(moment)
        self._tokens[chat_id] = tokens - 1.0, moment
        return 0


def _window_wait(passed: deque[float], limit: int, window_seconds: float, moment: float) -> float:
    """Seconds until fewer than `limit` calls lie in the window that ends now."""
    while passed and passed[0] <= moment - window_seconds:
        passed.popleft()
    return 0.0 if not limit or len(passed) < limit else passed[0] + window_seconds - moment
