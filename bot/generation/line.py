"""The line before the engine: so many texts are written at one time, and the turns go round among people.

Knows people by pseudonym. The engine is told another name, made up for as long as somebody has anything in the line or
in the engine: enough to be fair to them, too little to recognise them by. Knows nothing of messages or models.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from engine.api.fair_queue import QUANTUM, FairQueue, ahead


class Ticket:
    """One text's place, from the line to its last word."""

    def __init__(self, person: str, name: str) -> None:
        self.person = person
        self.name = name
        """What the engine calls the person."""
        self.turn = asyncio.Event()
        """Set when the engine may be asked."""
        self.queued: int | None = None
        """How many are before it in the engine, as far as the engine has said."""
        self.told_at = float("-inf")
        """Until when, on the loop's clock, the engine has last asked it to wait."""

    def wait(self, *, queued: int | None = None, seconds: float = 0.0) -> None:
        """The engine is well and asks for patience."""
        self.queued = queued
        self.told_at = asyncio.get_running_loop().time() + seconds


class Line:
    """At most `places` texts have their turn at one time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._queue: FairQueue[Ticket] = FairQueue()
        self._waiting: dict[Ticket, None] = {}
        self._inside: set[Ticket] = set()

    @contextmanager
    def place(self, person: str) -> Iterator[Ticket]:
        """A place for one text of a person, in line until its `turn`, and free again after the block."""
        name = next((ticket.name for ticket in (*self._inside, *self._waiting) if ticket.person == person), None)
        ticket = Ticket(person, name or secrets.token_hex(8))
        self._waiting[ticket] = None
        self._queue.add(ticket, person=person, cost=QUANTUM)  # so that each visit is one text
        self._move_up()
        try:
            yield ticket
        finally:
            if ticket in self._waiting:
                del self._waiting[ticket]
                self._queue.remove(lambda other: other is ticket)
            self._inside.discard(ticket)
            self._move_up()

    def ahead_of(self, ticket: Ticket) -> int | None:
        """How many get their turn before it, here and in the engine, at most; None where nobody knows."""
        if ticket not in self._waiting:
            return ticket.queued
        waiting = list(self._waiting)
        in_engine = sum(other.queued is not None for other in self._inside)
        return in_engine + ahead([other.person for other in waiting], waiting.index(ticket))

    def _move_up(self) -> None:
        while len(self._inside) < self._places and self._queue.peek() is not None:
            ticket = self._queue.pop()
            del self._waiting[ticket]
            self._inside.add(ticket)
            ticket.turn.set()
