"""Faults on demand: the next calls of a method are refused, never answered, or cut off after they took effect.

Knows how a fault looks, not how it is sent; `bot_api` does that.
"""

import asyncio
from collections import deque
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
