"""Rounds of work: admit waiting jobs, step every version's batch in turn, turn tokens into text.

Knows the model, adapters by key, batches and text streams. Knows nothing of threads, asyncio, HTTP or the names of
versions. One thread calls it; only `Job.is_cancelled` may be set by others.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from engine.chat import FinishReason, Sampling
from engine.decoding import Batch, Row
from engine.errors import EngineError, EngineUnavailable, ModelError
from engine.model import Base
from engine.sampling import NOT_FINITE
from engine.text_stream import TextStream

if TYPE_CHECKING:
    from engine.adapters import Adapters

logger = logging.getLogger(__name__)

_PREFILL_TOKENS = 4096
"""At most so many prompt tokens, padding included, are read in one round, for the others wait meanwhile."""
_CANARY_TOKENS = 8


@dataclass(slots=True, eq=False)
class Job:
    """One request, as the scheduler sees it."""

    prompt: Sequence[int]
    sampling: Sampling
    adapter: str | None = None
    """The key of its version's adapter; None: the base."""
    is_cancelled: bool = False
    """May be set from any thread; the job's row is free before the next step."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one round brought to one job. The last has a finish reason or an error."""

    job: Job
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    error: EngineError | None = None

    @property
    def is_last(self) -> bool:
        """Whether the job is over."""
        return self.finish_reason is not None or self.error is not None


@dataclass(slots=True, eq=False)
class _Writing:
    """A job whose row is in a batch."""

    job: Job
    row: Row
    text: TextStream
    tokens: int = 0

    def take(self, token: int, end_tokens: frozenset[int]) -> Progress:
        """Add the newest token and say what it means for the job."""
        if token == NOT_FINITE:
            name = "The base model" if self.job.adapter is None else "This version"
            return Progress(self.job, error=ModelError(f"{name} computes values that are not numbers; roll it back."))
        self.tokens += 1
        sampling = self.job.sampling
        is_end = token in end_tokens and not sampling.ignore_eos
        text = "" if is_end else self.text.push(token)
        if is_end or self.text.is_stopped:
            return Progress(self.job, text + self.text.finish(), 1, "stop")
        if self.tokens >= sampling.max_tokens:
            return Progress(self.job, text + self.text.finish(), 1, "length")
        return Progress(self.job, text, 1)


class Scheduler:
    """Continuous batching for one base and its adapters: `max_batch` rows over all versions together."""

    def __init__(self, base: Base, *, max_batch: int) -> None:
        self._model = base.model
        self._end_tokens = base.end_tokens
        # Its own copy, for a tokenizer refuses to be used by two threads at once.
        self._tokenizer = Tokenizer.from_str(base.tokenizer.backend_tokenizer.to_str())
        self._adapters: Adapters | None = None  # with the first `load`, for PEFT takes a while to import
        self._max_batch = max_batch
        self._waiting: deque[Job] = deque()
        self._batches: dict[str | None, Batch] = {}
        self._writing: dict[Row, _Writing] = {}
        self._retiring: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """Whether a round would do nothing."""
        return not self._waiting and not self._batches and not self._retiring

    def add(self, job: Job) -> None:
        """Let a job wait for a row."""
        self._waiting.append(job)

    def run_round(self) -> list[Progress]:
        """Admit whom there is room for, write one token of every other row; return what changed, in order."""
        running = list(self._batches)
        progress = self._admit()
        for adapter in running:
            progress += self._step(adapter)
        self._batches = {adapter: batch for adapter, batch in self._batches.items() if batch.rows}
        self._free_retired()
        return progress

    def load(self, folder: Path, canary_prompt: Sequence[int]) -> str:
        """Load an adapter, let it write a few tokens, and return its key.

        Raises:
            ModelError: it cannot be loaded, or what it computes are not numbers.
        """
        from engine.adapters import Adapters  # noqa: PLC0415

        self._adapters = self._adapters or Adapters(self._model)
        key = self._adapters.load(folder)
        self._adapters.activate(key)
        if not self._is_sound(canary_prompt):
            self._adapters.delete(key)
            raise ModelError(f"The adapter {folder.name} cannot write, or not with numbers; train it anew.")
        return key

    def retire(self, adapter: str) -> None:
        """Free an adapter when the last job that was added for it has finished."""
        self._retiring.add(adapter)

    def _is_sound(self, prompt: Sequence[int]) -> bool:
        """Whether the active adapter writes a few tokens of an answer without failing."""
        canary = Batch(self._model)
        row = Row(prompt, Sampling(temperature=0.0))
        try:
            canary.join([row])
            while row.newest != NOT_FINITE and row.cached < len(prompt) + _CANARY_TOKENS:
                canary.step()
        except RuntimeError:
            logger.exception("The canary failed.")
            return False
        return row.newest != NOT_FINITE

    def _free_retired(self) -> None:
        used = {*self._batches, *(job.adapter for job in self._waiting)}
        for adapter in self._retiring - used:
            assert self._adapters is not None, "only loaded adapters retire"
            self._adapters.delete(adapter)
        self._retiring &= used

    def _admit(self) -> list[Progress]:
        """Move waiting jobs into batches, first come first served, and write their first token."""
        gone = [job for job in self._waiting if job.is_cancelled]
        progress = [Progress(job, finish_reason="cancelled") for job in gone]
        self._waiting = deque(job for job in self._waiting if not job.is_cancelled)
        newcomers: dict[str | None, list[Job]] = {}
        for job in self._next_jobs():
            newcomers.setdefault(job.adapter, []).append(job)
        for adapter, jobs in newcomers.items():
            rows = [Row(job.prompt, job.sampling) for job in jobs]
            for row, job in zip(rows, jobs, strict=True):
                self._writing[row] = _Writing(job, row, TextStream(self._tokenizer, job.sampling.stop))
            self._batches.setdefault(adapter, Batch(self._model))
            progress += self._advance(adapter, rows)
        return progress

    def _next_jobs(self) -> list[Job]:
        """Take as many jobs off the queue as rows and prefill allow, at least one if a row is free."""
        jobs: list[Job] = []
        widest = 0
        while self._waiting and len(self._writing) + len(jobs) < self._max_batch:
            widest = max(widest, len(self._waiting[0].prompt))
            if jobs and widest * (len(jobs) + 1) > _PREFILL_TOKENS:
                break
            jobs.append(self._waiting.popleft())
        return jobs

    def _step(self, adapter: str | None) -> list[Progress]:
        """Free the rows of cancelled jobs, then write one token of every other row."""
        batch = self._batches[adapter]
        gone = [self._writing[row] for row in batch.rows if self._writing[row].job.is_cancelled]
        self._leave(adapter, gone)
        progress = [Progress(writing.job, finish_reason="cancelled") for writing in gone]
        return progress + self._advance(adapter) if batch.rows else progress

    def _advance(self, adapter: str | None, newcomers: Sequence[Row] = ()) -> list[Progress]:
        """Compute the next token of the newcomers, or else of every row, and let the finished leave."""
        batch = self._batches[adapter]
        rows = list(newcomers or batch.rows)
        try:
            if self._adapters is not None:
                self._adapters.activate(adapter)
            tokens = batch.join(rows) if newcomers else batch.step()
        except RuntimeError:  # torch's, out of memory included; what is repaired is repaired outside this block
            logger.exception("A batch of %d rows failed.", len(rows))
            tokens = None
        if tokens is None:
            return self._fail({*batch.rows, *rows}, adapter)
        writings = [self._writing[row] for row in rows]
        progress = [writing.take(token, self._end_tokens) for writing, token in zip(writings, tokens, strict=True)]
        self._leave(adapter, [w for w, p in zip(writings, progress, strict=True) if p.is_last])
        return progress

    def _leave(self, adapter: str | None, writings: Sequence[_Writing]) -> None:
        self._batches[adapter].drop([writing.row for writing in writings])
        for writing in writings:
            del self._writing[writing.row]

    def _fail(self, rows: set[Row], adapter: str | None) -> list[Progress]:
        """End the jobs of a batch whose forward pass failed; the other versions go on."""
        self._batches[adapter] = Batch(self._model)
        error = EngineUnavailable("The model could not compute this answer; ask again, or ask for less.")
        return [Progress(self._writing.pop(row).job, error=error) for row in rows]
