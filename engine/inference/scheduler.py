"""Rounds of work: admit waiting jobs, step every version's batch in turn, turn tokens into text.

Knows the model, adapters by key, batches and who is next. Knows nothing of threads, asyncio, HTTP or the names of
versions. One thread calls it; only `Job.is_cancelled` may be set by others, who may also read the figures.

A job that may have several texts gets rows for more than one when nobody waits and the forecast allows it. These
companions are sent away, the youngest first, as soon as somebody waits for a row or for memory.

When memory runs out in a batch, its texts leave it and wait at the head of the queue, companions excepted, and half as
many rows as there were may be written at once; from then on one more every `_RECOVERY_ROUNDS`.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from engine.api.fair_queue import FairQueue
from engine.errors import EngineUnavailable
from engine.inference.batch import Batch, Row
from engine.inference.best_of import Families, Forecast
from engine.inference.feature_reader import Reading, Readings
from engine.inference.kv_cache import KvBudget
from engine.inference.lora import Residents
from engine.inference.request import Job, Progress, Writing
from engine.inference.watermark import Watermark
from engine.models.layers import multiplications_per_token
from engine.models.loader import Base
from engine.process import is_out_of_memory

logger = logging.getLogger(__name__)

_PREFILL_TOKENS = 4096
"""At most so many prompt tokens, padding included, are read in one round, for the others wait meanwhile."""
_RECOVERY_ROUNDS = 64
_PRODUCTS_A_THREAD = 300_000_000
"""Multiplications, some 3 ms of one thread. Two threads on two cores gained nothing on 160 M and 1.2 times on 1.6 G."""


class Scheduler:
    """Continuous batching for one base and its adapters: over all versions together, `max_batch` rows and
    `kv_tokens` tokens' keys and values."""

    def __init__(self, base: Base, *, max_batch: int, kv_tokens: int, threads: int | None = None) -> None:
        self._model, self._family = base.model, base.family
        self._threads = threads
        self._products = multiplications_per_token(base.model)
        self._end_tokens = base.end_tokens
        # Its own copy, for a tokenizer refuses to be used by two threads at once.
        self._tokenizer = Tokenizer.from_str(base.tokenizer.backend_tokenizer.to_str())
        self._residents = Residents(base)
        self._max_batch = max_batch
        self._kv = KvBudget(kv_tokens)
        self._waiting: FairQueue[Writing] = FairQueue()
        self._batches: dict[str | None, Batch] = {}
        self._writing: dict[Row, Writing] = {}
        self._forecast = Forecast()
        self._families = Families(self._tokenizer, self._forecast)
        self._readings = Readings(base, prepare=self._prepare_to_read)
        self._rounds = 0
        self.row_limit = max_batch
        """How many rows may be written at once: `max_batch`, and fewer for a while after memory has run out."""
        self.watermark: Watermark | None = None
        """What marks the texts, if anything does."""
        self.kv_reserved = 0
        """How many tokens' keys and values the rows in hand may come to hold."""

    @property
    def is_idle(self) -> bool:
        """Whether a round would do nothing."""
        return not (self._waiting or self._batches or self._residents.is_retiring or self._readings)

    def add(self, job: Job) -> None:
        """Let a job wait for a row; alone it must fit into `kv_tokens`."""
        self._waiting.add(Writing(job, self._tokenizer), person=job.person, cost=job.reach)

    def read(self, reading: Reading) -> None:
        """Let texts wait for their features; a little is read in every round."""
        self._readings.add(reading)

    def give_up(self) -> None:
        """Fail what waits to be read: there will be no more rounds."""
        self._readings.give_up()

    def run_round(self) -> list[Progress]:
        """Admit whom there is room for, write one token of every other row; return what changed, in order."""
        running = list(self._batches)
        progress = self._admit()
        for adapter in running:
            progress += self._step(adapter)
        self._batches = {adapter: batch for adapter, batch in self._batches.items() if batch.rows}
        if self._readings and (reading := self._readings.read()) and reading.is_urgent:
            self._forecast.note_reading(len(reading.rows), reading.seconds)
        if self._residents.is_retiring:
            self._residents.free({*self._batches, *(writing.job.adapter for writing in self._waiting.items())})
        self._recover()
        self.kv_reserved = self._kv.reserved
        return progress

    def load(self, folder: Path, canary_prompt: Sequence[int]) -> str:
        """Load an adapter and return its key; ModelError if it cannot write, or not with numbers."""
        return self._residents.load(folder, canary_prompt)

    def retire(self, adapter: str) -> None:
        """Free an adapter when the last job that was added for it has finished."""
        self._residents.retire(adapter)

    def _admit(self) -> list[Progress]:
        """Move waiting jobs into batches, as the queue says and as there is room, and write their first token."""
        gone = self._waiting.remove(lambda writing: writing.job.is_cancelled)
        progress = self._cancelled(gone)
        newcomers: dict[str | None, list[Row]] = {}
        for writing in self._next(progress):
            row = writing.row()
            self._writing[row] = writing
            newcomers.setdefault(writing.job.adapter, []).append(row)
        for adapter, rows in newcomers.items():
            self._batches.setdefault(adapter, Batch(self._model, self.watermark, family=self._family))
            progress += self._advance(adapter, rows)
        return progress

    def _next(self, progress: list[Progress]) -> list[Writing]:
        """Take those off the queue who get a row now, and reserve for them; nobody is let past whose turn it is.

        What it means for other jobs that their companions have to go is added to `progress`.
        """
        chosen: list[Writing] = []
        widest = 0
        while writing := self._waiting.peek():
            widest = max(widest, writing.unread)
            if chosen and widest * (len(chosen) + 1) > _PREFILL_TOKENS:
                break
            if not self._has_room(writing.job, chosen):
                companion = next((row for row in reversed(self._writing) if self._writing[row].number), None)
                if companion is None:
                    break
                progress.append(self._send_away(companion))
                continue
            self._kv.take(writing.job.adapter, writing.job.reach)
            chosen.append(self._waiting.pop())
        return chosen if self._waiting else self._accompanied(chosen)

    def _has_room(self, job: Job, chosen: Sequence[Writing]) -> bool:
        """Whether one more row is allowed and fits, beside those in hand and those that are chosen."""
        return len(self._writing) + len(chosen) < self.row_limit and self._kv.fits(job.adapter, job.reach)

    def _accompanied(self, chosen: list[Writing]) -> list[Writing]:
        """The chosen and, while nobody waits, companions for those whose jobs want some: one for each in turn."""
        wanting = [writing.job for writing in chosen if not writing.written]
        rows = Counter(writing.job.adapter for writing in [*self._writing.values(), *chosen])
        while wanting:
            job = wanting.pop(0)
            texts = self._families.size(job) + 1
            wider = (rows + Counter([job.adapter])).values()
            if texts > job.best_of or not self._has_room(job, chosen) or not self._forecast.allows([*wider], texts):
                continue
            self._kv.take(job.adapter, job.reach)
            rows[job.adapter] += 1
            chosen.append(self._families.companion(job))
            wanting.append(job)
        return chosen

    def _send_away(self, companion: Row) -> Progress:
        writing = self._writing[companion]
        self._leave(writing.job.adapter, [companion])
        return self._families.send_away(writing)

    def _cancelled(self, writings: Sequence[Writing]) -> list[Progress]:
        """The end of the jobs of these texts."""
        jobs = dict.fromkeys(writing.job for writing in writings)
        for job in jobs:
            self._families.forget(job)
        return [Progress(job, finish_reason="cancelled") for job in jobs]

    def _step(self, adapter: str | None) -> list[Progress]:
        """Free the rows of cancelled jobs, then write one token of every other row."""
        batch = self._batches[adapter]
        # Looked at once a job, for somebody may set it between two of its rows.
        jobs = {job for job in {self._writing[row].job for row in batch.rows} if job.is_cancelled}
        gone = [row for row in batch.rows if self._writing[row].job in jobs]
        progress = self._cancelled([self._writing[row] for row in gone])
        self._leave(adapter, gone)
        return progress + self._advance(adapter) if batch.rows else progress

    def _advance(self, adapter: str | None, newcomers: Sequence[Row] = ()) -> list[Progress]:
        """Compute the next token of the newcomers, or else of every row, and let the finished leave."""
        batch = self._batches[adapter]
        rows = list(newcomers or batch.rows)
        tokens, ran_out = None, False
        self._spread(self._unread(newcomers) if newcomers else len(rows))
        try:
            self._residents.activate(adapter)
            began = time.perf_counter()
            tokens = batch.join(rows) if newcomers else batch.step()
            if not newcomers:
                self._forecast.note_step(len(rows), time.perf_counter() - began)
        except (RuntimeError, MemoryError) as error:  # torch's; what is repaired is repaired outside this block
            ran_out = is_out_of_memory(error)
            logger.exception("A batch of %d rows failed.", len(rows))
        if tokens is None:
            return self._repair(adapter, list(dict.fromkeys([*batch.rows, *rows])), ran_out=ran_out)
        progress = []
        for row, token in zip(rows, tokens, strict=True):
            writing = self._writing[row]
            progress.append(self._families.heard(writing, writing.take(token, self._end_tokens)))
        self._leave(adapter, [row for row in rows if self._writing[row].is_over])
        return progress

    def _unread(self, newcomers: Sequence[Row]) -> int:
        """How many tokens they have to read; companions read with the first of their job."""
        return sum(writing.unread for writing in map(self._writing.__getitem__, newcomers) if not writing.number)

    def _prepare_to_read(self, tokens: int) -> None:
        """Before the base reads so many tokens for their features."""
        self._spread(tokens)
        self._residents.activate(None)

    def _spread(self, tokens: int) -> None:
        """Use as many of `threads` as the next forward pass has work for; more would only wait for each other."""
        if self._threads is not None:
            torch.set_num_threads(min(1 + tokens * self._products // _PRODUCTS_A_THREAD, self._threads))

    def _leave(self, adapter: str | None, rows: Sequence[Row]) -> None:
        self._batches[adapter].drop(rows)
        for row in rows:
            self._forget(row)

    def _forget(self, row: Row) -> Writing:
        writing = self._writing.pop(row)
        self._kv.give_back(writing.job.adapter, writing.job.reach)
        return writing

    def _repair(self, adapter: str | None, rows: Sequence[Row], *, ran_out: bool) -> list[Progress]:
        """Start a batch anew whose forward pass failed; the other versions go on.

        For want of memory its texts go back to the queue. They end if that was not it, or if there was but one row.
        """
        in_hand = len(self._writing)
        self._batches[adapter] = Batch(self._model, self.watermark, family=self._family)
        lost = [self._forget(row) for row in rows]
        if ran_out and in_hand > 1:
            self.row_limit, self._rounds = in_hand // 2, 0
            for writing in lost:
                if not writing.number:
                    self._waiting.put_back(writing)
            return [self._families.send_away(writing) for writing in lost if writing.number]
        error = EngineUnavailable("The model could not compute this answer; ask again, or ask for less.")
        return [self._families.heard(writing, Progress(writing.job, error=error)) for writing in lost]

    def _recover(self) -> None:
        """Let one more row be written at once after a while without a want of memory."""
        self._rounds += 1
        if self._rounds >= _RECOVERY_ROUNDS and self.row_limit < self._max_batch:
            self.row_limit, self._rounds = self.row_limit + 1, 0
