"""Continuous batching: rounds that admit waiting jobs, in fair turns, and step every version's batch; and their thread.

The texts of a job wait for rows one by one, and read their prompt together where they get them together. Spare texts
get one when nobody waits and the latency model allows it, and are dropped, the youngest first, as soon as somebody
waits for a row or for memory.

What one text raises ends that text only. Where a batch fails as a whole, nobody can tell by whose fault: its texts
leave it and go on from where they stood, each in a batch of its own, and the one that fails there ends.

When memory runs out in a batch, its texts leave it and wait at the head of the queue, spare ones excepted, and half as
many rows as there were may be written at once; from then on one more every `_RECOVERY_ROUNDS`.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import torch
from tokenizers import Tokenizer

from engine.errors import AnswerFailed, EngineError, EngineUnavailable
from engine.inference.batch import Batch
from engine.inference.kv_cache import KvBudget
from engine.inference.latency import LatencyModel
from engine.inference.lora import LoadedAdapters
from engine.inference.request import Job, JobProgress, SequenceState
from engine.inference.watermark import Watermark
from engine.models.layers import multiplications_per_token
from engine.models.loader import Base
from engine.process import is_out_of_memory

logger = logging.getLogger(__name__)

T = TypeVar("T")

QUANTUM: Final = 32
"""What a visit brings, in tokens: less than all but the shortest requests cost, so that nobody gets turns in a row."""

_WINDOW = 64
"""Recent enough to follow a change of load, many enough that one long text does not decide."""
_MIN_SECONDS, _MAX_SECONDS = 1, 60
"""The official OpenAI client obeys a Retry-After of up to a minute and makes up its own where it is longer."""
_PREFILL_TOKENS = 4096
"""At most so many prompt tokens, padding included, are read in one round, for the others wait meanwhile."""
_RECOVERY_ROUNDS = 64
_FAILED: Final = "The model could not compute this answer; ask for something else, or for less."
_MULTIPLICATIONS_PER_THREAD = 300_000_000
"""Some 3 ms of one thread. Two threads on two cores gained nothing on 160 M and 1.2 times on 1.6 G."""


class Scheduler:
    """The base, its adapters, and who is next: over all versions together, `max_batch` rows and `kv_tokens` tokens'
    keys and values.

    One thread calls it; only `Job.is_cancelled` may be set by others, who may also read `row_limit` and `kv_reserved`.
    """

    def __init__(
        self,
        base: Base,
        *,
        max_batch: int,
        kv_tokens: int,
        threads: int | None = None,
        watermark: Watermark | None = None,
    ) -> None:
        self._model, self._family = base.model, base.family
        self._threads = threads
        self._watermark = watermark
        self._multiplications = multiplications_per_token(base.model)
        self._end_tokens = base.end_tokens
        # Its own copy, for a tokenizer refuses to be used by two threads at once.
        self._tokenizer = Tokenizer.from_str(base.tokenizer.backend_tokenizer.to_str())
        self.adapters = LoadedAdapters(base.model, base.family)
        self._max_batch = max_batch
        self._kv = KvBudget(kv_tokens)
        self._waiting: FairQueue[SequenceState] = FairQueue()
        self._batches: dict[tuple[str | None, Hashable], Batch[SequenceState]] = {}
        """By `SequenceState.group`."""
        self._running: list[SequenceState] = []
        self._refused: list[JobProgress] = []
        """Of jobs that could not even begin."""
        self._latency = LatencyModel()
        self._rounds = 0
        self.row_limit = max_batch
        """How many rows may be written at once: `max_batch`, and fewer for a while after memory has run out."""
        self.kv_reserved = 0
        """How many tokens' keys and values the rows in hand may come to hold."""

    @property
    def is_idle(self) -> bool:
        """Whether a round would do nothing."""
        return not (self._waiting or self._batches or self._refused or self.adapters.retired)

    def add(self, job: Job) -> None:
        """Let a job's texts wait for a row each, the spare ones excepted; each alone must fit into `kv_tokens`."""
        try:
            sequences = [job.begin(self._tokenizer) for _ in range(job.n if job.spare_seconds is None else 1)]
        except BaseException:  # a panic of the tokenizers' Rust is no Exception
            logger.exception("A request could not begin.")
            self._refused.append(JobProgress(job, error=AnswerFailed(_FAILED), is_last=True))
            return
        for sequence in sequences:
            self._waiting.add(sequence, person=job.person, cost=job.max_length)

    def run_round(self) -> list[JobProgress]:
        """Admit whom there is room for, write one token of every other row; return what changed, in order."""
        running = list(self._batches)
        progress, self._refused = self._refused, []
        progress += self._admit()
        for group in running:
            progress += self._step(group)
        self._batches = {group: batch for group, batch in self._batches.items() if batch.rows}
        if self.adapters.retired:
            waiting = {sequence.job.adapter for sequence in self._waiting.items()}
            self.adapters.free_retired({adapter for adapter, _ in self._batches} | waiting)
        self._rounds += 1
        if self._rounds >= _RECOVERY_ROUNDS and self.row_limit < self._max_batch:
            self.row_limit, self._rounds = self.row_limit + 1, 0
        self.kv_reserved = self._kv.reserved
        return progress

    def _admit(self) -> list[JobProgress]:
        """Move waiting jobs into batches, as the queue says and as there is room, and write their first token."""
        gone = self._waiting.remove(lambda sequence: sequence.job.is_cancelled)
        progress = _cancelled(gone)
        newcomers: dict[tuple[str | None, Hashable], list[SequenceState]] = {}
        for sequence in self._next(progress):
            self._running.append(sequence)
            newcomers.setdefault(sequence.group, []).append(sequence)
        for group, sequences in newcomers.items():
            self._batches.setdefault(group, self._new_batch())
            progress += self._advance(group, sequences)
        return progress

    def _next(self, progress: list[JobProgress]) -> list[SequenceState]:
        """Take those off the queue who get a row now, and reserve for them; nobody is let past whose turn it is.

        What it means for other jobs that their spare texts have to go is added to `progress`.
        """
        chosen: list[SequenceState] = []
        prompts: dict[Job, int] = {}
        while sequence := self._waiting.peek():
            prompts[sequence.job] = len(sequence.prompt)
            if chosen and max(prompts.values()) * len(prompts) > _PREFILL_TOKENS:
                break
            if not self._has_room(sequence, chosen):
                spare = next((running for running in reversed(self._running) if running.is_spare), None)
                if spare is None:
                    break
                self._leave(spare.group, [spare])
                progress.append(self._observed(spare.drop()))
                continue
            self._kv.reserve(sequence.group, sequence.job.max_length)
            chosen.append(self._waiting.pop())
        return chosen if self._waiting else self._with_spare(chosen)

    def _has_room(self, sequence: SequenceState, chosen: Sequence[SequenceState]) -> bool:
        """Whether a row as this is allowed and fits, beside those in hand and those that are chosen."""
        is_allowed = len(self._running) + len(chosen) < self.row_limit
        return is_allowed and self._kv.fits(sequence.group, sequence.job.max_length)

    def _with_spare(self, chosen: list[SequenceState]) -> list[SequenceState]:
        """The chosen and, while nobody waits, spare texts for those whose jobs want some: one for each in turn."""
        wanting = [each for each in chosen if each.job.spare_seconds is not None and not each.length]
        rows = Counter(sequence.job.adapter for sequence in [*self._running, *chosen])
        while wanting:
            first = wanting.pop(0)
            job = first.job
            texts = len(job.sequences) + 1
            wider = (rows + Counter([job.adapter])).values()
            if texts > job.n or not self._has_room(first, chosen) or not self._is_quick([*wider], texts, job):
                continue
            self._kv.reserve(first.group, job.max_length)
            rows[job.adapter] += 1
            chosen.append(job.begin(self._tokenizer))
            wanting.append(first)
        return chosen

    def _is_quick(self, rows: Sequence[int], texts: int, job: Job) -> bool:
        seconds, max_tokens = job.spare_seconds or 0.0, job.sampling.max_tokens
        return self._latency.allows(rows, texts, max_tokens=max_tokens, seconds=seconds)

    def _step(self, group: tuple[str | None, Hashable]) -> list[JobProgress]:
        """Free the rows of cancelled jobs, then write one token of every other row."""
        batch = self._batches[group]
        # Looked at once a job, for somebody may set it between two of its rows.
        jobs = {job for job in {sequence.job for sequence in batch.rows} if job.is_cancelled}
        gone = [sequence for sequence in batch.rows if sequence.job in jobs]
        progress = _cancelled(gone)
        self._leave(group, gone)
        return progress + self._advance(group) if batch.rows else progress

    def _advance(
        self, group: tuple[str | None, Hashable], newcomers: Sequence[SequenceState] = ()
    ) -> list[JobProgress]:
        """Compute the next token of the newcomers, or else of every row, and let the finished leave."""
        batch = self._batches[group]
        rows = list(newcomers or batch.rows)
        tokens, ran_out = None, False
        unread = {sequence.job: len(sequence.prompt) for sequence in newcomers}  # texts of one job read together
        self._use_threads(sum(unread.values()) if newcomers else len(rows))
        try:
            self.adapters.activate(group[0])
            began = time.perf_counter()
            tokens = batch.join(rows) if newcomers else batch.step()
            if not newcomers:
                self._latency.observe_step(len(rows), time.perf_counter() - began)
        except Exception as error:  # what is repaired is repaired outside this block
            ran_out = is_out_of_memory(error)
            logger.exception("A batch of %d rows failed.", len(rows))
        if tokens is None:
            return self._repair(group, rows, ran_out=ran_out)
        progress = [self._observed(self._append(sequence, token)) for sequence, token in zip(rows, tokens, strict=True)]
        self._leave(group, [sequence for sequence in rows if sequence.is_over])
        return progress

    def _append(self, sequence: SequenceState, token: int) -> JobProgress:
        try:
            return sequence.append(token, self._end_tokens)
        except BaseException:  # the same
            logger.exception("A text failed at token %d.", token)
            return sequence.fail(AnswerFailed(_FAILED))

    def _observed(self, progress: JobProgress) -> JobProgress:
        lengths = [each.length for each in progress.job.sequences if each.is_finished]
        if progress.is_last and lengths:
            self._latency.observe_answer(lengths)
        return progress

    def _use_threads(self, tokens: int) -> None:
        """Use as many of `threads` as the next forward pass has work for; more would only wait for each other."""
        if self._threads is not None:
            wanted = 1 + tokens * self._multiplications // _MULTIPLICATIONS_PER_THREAD
            torch.set_num_threads(min(wanted, self._threads))

    def _leave(self, group: tuple[str | None, Hashable], sequences: Sequence[SequenceState]) -> None:
        self._batches[group].drop(sequences)
        self._release(sequences)

    def _release(self, sequences: Sequence[SequenceState]) -> None:
        for sequence in sequences:
            self._running.remove(sequence)
            self._kv.release(sequence.group, sequence.job.max_length)

    def _new_batch(self) -> Batch[SequenceState]:
        return Batch(self._model, self._watermark, family=self._family)

    def _repair(
        self, group: tuple[str | None, Hashable], rows: Sequence[SequenceState], *, ran_out: bool
    ) -> list[JobProgress]:
        """Go on after a forward pass of these rows, or the draw of their tokens, has failed.

        The texts that were in it go back to the queue, for want of memory to be written beside fewer others, and else
        each alone. One that was alone ends. Texts of the batch that had no part in it stay, unless it is broken.
        """
        batch, in_hand = self._batches[group], len(self._running)
        lost = [*batch.rows, *(row for row in rows if row not in batch.rows)]
        if ran_out or any(row in batch.rows for row in rows):
            self._batches[group] = self._new_batch()
        else:
            lost = list(rows)
        self._release(lost)
        if (in_hand if ran_out else len(lost)) == 1:
            return [self._observed(sequence.fail(AnswerFailed(_FAILED))) for sequence in lost]
        if ran_out:
            self.row_limit, self._rounds = in_hand // 2, 0
        for sequence in lost:
            if not sequence.is_spare:
                sequence.restart()
                sequence.is_alone = not ran_out or sequence.is_alone
                self._waiting.put_back(sequence)
        return [self._observed(sequence.drop()) for sequence in lost if sequence.is_spare]


def _cancelled(sequences: Sequence[SequenceState]) -> list[JobProgress]:
    """The end of the jobs of these texts."""
    return [JobProgress(job, is_last=True) for job in dict.fromkeys(each.job for each in sequences)]


class Worker(threading.Thread):
    """Runs rounds from `start_on` to `stop`; a daemon, so that a model that hangs cannot keep the process alive.

    Calls, which come from the event loop, are taken between rounds. There `report` gets each round's progress, and
    `ended` is called after the last.
    """

    def __init__(
        self, scheduler: Scheduler, *, report: Callable[[Sequence[JobProgress]], None], ended: Callable[[], None]
    ) -> None:
        super().__init__(name="engine-worker", daemon=True)
        self._scheduler = scheduler
        self._report = report
        self._ended = ended
        self._inbox: SimpleQueue[tuple[Callable[[Scheduler], Any], Future[Any]] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_ended = False
        self.busy_since: float | None = None
        """When the thread began what it does now, on `time.monotonic`; None while it waits. Only the thread sets it."""

    def start_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread, which will report to `loop`."""
        self._loop = loop
        self.start()

    def call(self, task: Callable[[Scheduler], T]) -> "Future[T]":
        """Run a task between two rounds; the future gives its result, or its EngineError."""
        future: Future[T] = Future()
        self._inbox.put((task, future))
        if self._has_ended:
            self.fail_calls()
        return future

    def stop(self) -> None:
        """End the thread after its current round."""
        self._inbox.put(None)

    def run(self) -> None:
        """Rounds, until `stop`, or until one raises."""
        try:
            while self._run_calls():
                self._tell(self._report, self._scheduler.run_round())
        finally:
            self._tell(self._ended)

    def _run_calls(self) -> bool:
        """Empty the inbox, waiting while there is nothing else to do; False: stop."""
        is_waiting = self._scheduler.is_idle
        if is_waiting:
            self.busy_since = None
        while is_waiting or not self._inbox.empty():
            call = self._inbox.get()
            self.busy_since = time.monotonic()
            is_waiting = False
            if call is None:
                return False
            self._run_call(*call)
        self.busy_since = time.monotonic()
        return True

    def _run_call(self, task: Callable[[Scheduler], T], future: "Future[T]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(task(self._scheduler))
        except EngineError as error:
            future.set_exception(error)
        except BaseException:  # the same; whoever waits for the call must hear of it in any case
            logger.exception("A call failed.")
            future.set_exception(EngineError("The engine failed at this; its log says why."))

    def fail_calls(self) -> None:
        """Fail what came too late, now and from now on: the thread has ended, or hangs and is to end."""
        self._has_ended = True
        with contextlib.suppress(Empty):
            while True:
                call = self._inbox.get_nowait()
                if call is not None and call[1].set_running_or_notify_cancel():
                    call[1].set_exception(EngineUnavailable("The engine has stopped; start it again."))
        self.stop()

    def _tell(self, listener: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "the thread starts in start_on"
        try:
            self._loop.call_soon_threadsafe(listener, *arguments)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            logger.warning("The engine's thread outlived its event loop.")


@dataclass(slots=True)
class _Lane(Generic[T]):
    """Somebody in the ring: what they wait for, each with its cost, and how far they are ahead or in debt."""

    waiting: deque[tuple[T, int]] = field(default_factory=deque)
    balance: int = QUANTUM


class FairQueue(Generic[T]):
    """Items of many people, told apart by any keys. It is fair between people, and first come, first served within what
    one asks. `peek` names the next item, `pop` takes it.

    Deficit round robin (Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round Robin", SIGCOMM 1995), in
    its surplus form, where the debt is paid afterwards (Adiseshu, Parulkar and Varghese, SIGCOMM 1996): people stand in
    a ring. Each visit brings a person a quantum of tokens; whoever is not in debt gets the next turn and is charged
    what it costs. So over any time all who wait get alike many tokens, to within one request each; nobody starves,
    because everybody ahead in the ring is visited only once before you are; and whoever asks once waits for one visit
    and no more. Who has nothing waiting is forgotten, debts included: what did not hold up anybody is not held against
    anybody.
    """

    def __init__(self) -> None:
        self._returned: deque[T] = deque()
        self._ring: OrderedDict[Hashable, _Lane[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._returned) + sum(len(person.waiting) for person in self._ring.values())

    def add(self, item: T, *, person: Hashable, cost: int) -> None:
        """Let an item wait behind those of the same person; `cost` is in tokens."""
        self._ring.setdefault(person, _Lane()).waiting.append((item, cost))

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
