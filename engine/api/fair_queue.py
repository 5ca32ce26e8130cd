"""A queue that is fair between people and first come, first served within what one person asks; and how long it takes.

Deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round Robin", SIGCOMM 1995), in its
surplus form, where the debt is paid afterwards (Adiseshu, Parulkar and Varghese, SIGCOMM 1996): people stand in a ring.
Each visit brings a person a quantum of tokens; whoever is not in debt gets the next turn and is charged what it costs.
So over any time all who wait get alike many tokens, to within one request each; nobody starves, because everybody
ahead in the ring is visited only once before you are; and whoever asks once waits for one visit and no more. Who has
nothing waiting is forgotten, debts included: what did not hold up anybody is not held against anybody.
"""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

QUANTUM: Final = 32
"""What a visit brings, in tokens: less than all but the shortest requests cost, so that nobody gets turns in a row."""


@dataclass(slots=True)
class _Person(Generic[T]):
    """Somebody in the ring: what they wait for, each with its cost, and how far they are ahead or in debt."""

    waiting: deque[tuple[T, int]] = field(default_factory=deque)
    balance: int = QUANTUM


class FairQueue(Generic[T]):
    """Items of many people, who are told apart by any keys. `peek` names the next, `pop` takes it."""

    def __init__(self) -> None:
        self._returned: deque[T] = deque()
        self._ring: OrderedDict[Hashable, _Person[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._returned) + sum(len(person.waiting) for person in self._ring.values())

    def add(self, item: T, *, person: Hashable, cost: int) -> None:
        """Let an item wait behind those of the same person; `cost` is in tokens."""
        self._ring.setdefault(person, _Person()).waiting.append((item, cost))

    def put_back(self, item: T) -> None:
        """Let an item that has had its turn, and was charged for it, go before all others again."""
        self._returned.append(item)

    def peek(self) -> T | None:
        """The item whose turn is next, or None; it stays so until something is taken or removed."""
        if self._returned:
            return self._returned[0]
        if not self._ring:
            return None
        while (first := next(iter(self._ring.values()))).balance <= 0:
            self._to_the_end()
        return first.waiting[0][0]

    def pop(self) -> T:
        """Take the item that `peek` names; the queue must not be empty."""
        assert self.peek() is not None, "only called after `peek` named one"
        if self._returned:
            return self._returned.popleft()
        key, person = next(iter(self._ring.items()))
        item, cost = person.waiting.popleft()
        person.balance -= cost
        if not person.waiting:
            del self._ring[key]
        elif person.balance <= 0:
            self._to_the_end()
        return item

    def remove(self, is_gone: Callable[[T], bool]) -> list[T]:
        """Remove the items of which `is_gone` holds, and return them."""
        gone = [item for item in self._returned if is_gone(item)]
        self._returned = deque(item for item in self._returned if not is_gone(item))
        for key, person in list(self._ring.items()):
            left = deque(entry for entry in person.waiting if not is_gone(entry[0]))
            if len(left) < len(person.waiting):
                gone += [item for item, _ in person.waiting if is_gone(item)]
                person.waiting = left
            if not left:
                del self._ring[key]
        return gone

    def items(self) -> list[T]:
        """Everything that waits, in no order that matters."""
        return [*self._returned, *(item for person in self._ring.values() for item, _ in person.waiting)]

    def _to_the_end(self) -> None:
        """Send the first in the ring to its end, with the quantum of the next visit."""
        key, person = next(iter(self._ring.items()))
        person.balance += QUANTUM
        self._ring.move_to_end(key)


def ahead(people: Sequence[Hashable], place: int) -> int:
    """How many of those who wait get a turn before the one at `place`, at most and if all cost the same.

    `people` says who asks, in the order of asking; a person may be in it many times.

    >>> ahead(["ada", "ada", "ada", "bob"], 3), ahead(["ada", "ada", "ada", "bob"], 2)
    (1, 3)
    """
    person, earlier = people[place], people[:place]
    turn = earlier.count(person)  # so many rounds of the ring pass without it
    before = set(people[: people.index(person)])
    return turn + sum(min(count, turn + (key in before)) for key, count in Counter(people).items() if key != person)


_WINDOW = 64
"""Recent enough to follow a change of load, many enough that one long text does not decide."""
_MIN_SECONDS, _MAX_SECONDS = 1, 60
"""The official OpenAI client obeys a Retry-After of up to a minute and makes up its own where it is longer."""


class FinishRate:
    """How fast requests finish: the moments, in seconds of any clock that only goes forward, at which the last of them
    did while there was work; idle time does not count."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=_WINDOW)

    def start(self, now: float) -> None:
        """Work begins after a time without any."""
        self._moments.clear()
        self._moments.append(now)

    def finish(self, now: float) -> None:
        """A request has finished."""
        self._moments.append(now)

    def seconds_for(self, requests: int, now: float) -> int:
        """How long so many requests will take to finish: whole seconds, from 1 to 60; 1 as long as none has finished.

        requests / rate, where the rate is the number of those that finished lately over the time they took.
        """
        finished = len(self._moments) - 1
        if finished < 1:
            return _MIN_SECONDS
        seconds = requests * (now - self._moments[0]) / finished
        return min(max(math.ceil(seconds), _MIN_SECONDS), _MAX_SECONDS)
