"""Telegram's flood limits, as its FAQ states them. Knows chats by id and time in seconds, nothing else.

Source: core.telegram.org/bots/faq, "My bot is hitting limits": about 30 messages a second over all chats, one a
second in one chat with short bursts, 20 a minute in one group. A refused call does not count.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

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
