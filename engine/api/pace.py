"""How fast requests finish, measured, and so how long a queue will take.

Knows moments in seconds, of any clock that only goes forward. Knows nothing of requests. Torch-free.
"""

import math
from collections import deque

_REMEMBERED = 64
"""Recent enough to follow a change of load, many enough that one long text does not decide."""
_LEAST_SECONDS, _MOST_SECONDS = 1, 60
"""The official OpenAI client obeys a Retry-After of up to a minute and makes up its own where it is longer."""


class Pace:
    """The moments at which the last requests finished while there was work; idle time does not count."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=_REMEMBERED)

    def begin(self, now: float) -> None:
        """Work begins after a time without any."""
        self._moments.clear()
        self._moments.append(now)

    def finish(self, now: float) -> None:
        """A request has finished."""
        self._moments.append(now)

    def seconds_for(self, requests: int, now: float) -> int:
        """How long so many requests will take to finish: whole seconds, from 1 to 60.

        requests / rate, where the rate is the number of those that finished lately over the time they took. As long
        as none has finished nothing is known, and the answer is the least.
        """
        finished = len(self._moments) - 1
        if finished < 1:
            return _LEAST_SECONDS
        seconds = requests * (now - self._moments[0]) / finished
        return min(max(math.ceil(seconds), _LEAST_SECONDS), _MOST_SECONDS)
