"""The thread that runs the scheduler's rounds, and the way in and out of it.

Knows threads, one queue and one event loop. Knows nothing of what a round does. Jobs and tasks are taken between
rounds; what a round brought is handed to the event loop in one call.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from torch import Tensor

from engine.errors import EngineError, EngineUnavailable
from engine.inference.feature_reader import Reading
from engine.inference.request import Job, Progress
from engine.inference.scheduler import Scheduler

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Call(Generic[T]):
    task: Callable[[Scheduler], T]
    future: "Future[T]" = field(default_factory=Future)

    def run(self, scheduler: Scheduler) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.task(scheduler))
        except EngineError as error:
            self.future.set_exception(error)
        finally:
            if not self.future.done():  # the thread dies of something else, and whoever waits must know
                self.future.set_exception(EngineUnavailable("The engine failed and stopped; start it again."))


class Worker(threading.Thread):
    """Runs rounds from `start_on` to `stop`; a daemon, so that a model that hangs cannot keep the process alive.

    `report` gets each round's progress and `ended` is called after the last, both on the event loop.
    """

    def __init__(
        self, scheduler: Scheduler, *, report: Callable[[Sequence[Progress]], None], ended: Callable[[], None]
    ) -> None:
        super().__init__(name="engine-worker", daemon=True)
        self._scheduler = scheduler
        self._report = report
        self._ended = ended
        self._inbox: SimpleQueue[Job | Reading | _Call[Any] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = threading.Lock()
        self._is_closed = False
        self.busy_since: float | None = None
        """When the thread began what it does now, on `time.monotonic`; None while it waits. Only the thread sets it."""

    def start_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread, which will report to `loop`."""
        self._loop = loop
        self.start()

    def submit(self, job: Job) -> None:
        """Queue a job; its progress is reported until one with a finish reason or an error."""
        self._inbox.put(job)

    def call(self, task: Callable[[Scheduler], T]) -> "Future[T]":
        """Run a task between two rounds; the future gives its result, or its EngineError."""
        call = _Call(task)
        self._put(call)
        return call.future

    def read(self, reading: Reading) -> "Future[Tensor]":
        """Let texts be read between rounds; the future gives their features, or its EngineError."""
        self._put(reading)
        return reading.future

    def stop(self) -> None:
        """End the thread after its current round."""
        self._inbox.put(None)

    def run(self) -> None:
        """The thread's life."""
        try:
            while self._take():
                self._tell(self._report, self._scheduler.run_round())
        finally:
            with self._closing:
                self._is_closed = True
                self._scheduler.give_up()
                self._drain()
            self._tell(self._ended)

    def _take(self) -> bool:
        """Empty the inbox, waiting while there is nothing to do; False: stop."""
        is_waiting = self._scheduler.is_idle
        if is_waiting:
            self.busy_since = None
        while is_waiting or not self._inbox.empty():
            item = self._inbox.get()
            self.busy_since = time.monotonic()
            is_waiting = False
            if item is None:
                return False
            if isinstance(item, Job):
                self._scheduler.add(item)
            elif isinstance(item, Reading):
                self._scheduler.read(item)
            else:
                item.run(self._scheduler)
        self.busy_since = time.monotonic()
        return True

    def _put(self, item: "Reading | _Call[Any]") -> None:
        with self._closing:
            self._inbox.put(item)
            if self._is_closed:
                self._drain()

    def _drain(self) -> None:
        """Fail what came too late; jobs are failed by whoever `ended` tells."""
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, Reading | _Call) and item.future.set_running_or_notify_cancel():
                item.future.set_exception(EngineUnavailable("The engine has stopped; start it again."))

    def _tell(self, listener: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "the thread starts in start_on"
        try:
            self._loop.call_soon_threadsafe(listener, *arguments)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            logger.warning("The engine's thread outlived its event loop.")
