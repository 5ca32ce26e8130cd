"""Who hears of changes: pages with a queue of events, and tests that wait until something is so.

Knows nothing of what an event means. Lives in one event loop.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from bot.sandbox.world.records import Event

Found = TypeVar("Found")

LOOK_AGAIN_SECONDS = 0.1
BACKLOG = 2000
"""Events kept for a slow listener; one that is further behind misses the oldest."""


class Feed:
    """Fans events out to listeners and wakes those who wait."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._waiters: set[asyncio.Future[None]] = set()

    def publish(self, event: Event) -> None:
        """Tell everybody; never blocks."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
        self.nudge()

    def nudge(self) -> None:
        """Let those who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event]]:
        """A queue that gets every event published from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def until(self, check: Callable[[], Found | None], timeout_seconds: float) -> Found:
        """The first truthy value of `check`, tried now, after every event and at least every 0.1 s.

        The latter serves checks of things outside the world, such as what a handler has noted down.

        Raises:
            TimeoutError: it did not come true in time.
        """
        async with asyncio.timeout(timeout_seconds):
            while not (found := check()):
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await asyncio.wait((waiter,), timeout=LOOK_AGAIN_SECONDS)
                finally:
                    self._waiters.discard(waiter)
            return found
