"""Rounds of work: admit waiting jobs, step every version's batch in turn, turn tokens into text.

Knows the model, adapters by key, batches and who is next. Knows nothing of threads, asyncio, HTTP or the names of
versions. One thread calls it; only `Job.is_cancelled` may be set by others, who may also read the figures.

When memory runs out in a batch, its texts leave it and wait at the head of the queue, and half as many rows as there
were may be written at once; from then on one more every `_RECOVERY_ROUNDS`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from engine.chat import Sampling
from engine.decoding import Batch, Row
from engine.errors import EngineUnavailable, ModelError
from engine.fair_queue import FairQueue
from engine.kv_budget import KvBudget
from engine.linears import products_a_token
from engine.memory import is_out_of_memory
from engine.model import Base
from engine.sampling import NOT_FINITE
from engine.writing import Job, Progress, Writing

if TYPE_CHECKING:
    from engine.adapters import Adapters

logger = logging.getLogger(__name__)

_PREFILL_TOKENS = 4096
"""At most so many prompt tokens, padding included, are read in one round, for the others wait meanwhile."""
_RECOVERY_ROUNDS = 64
_PRODUCTS_A_THREAD = 300_000_000
"""Multiplications, some 3 ms of one thread. Two threads on two cores gained nothing on 160 M and 1.2 times on 1.6 G."""
_CANARY_TOKENS = 8


class Scheduler:
    """Continuous batching for one base and its adapters: over all versions together, `max_batch` rows and
    `kv_tokens` tokens' keys and values."""

    def __init__(self, base: Base, *, max_batch: int, kv_tokens: int, threads: int | None = None) -> None:
        self._model = base.model
        self._threads = threads
        self._products = products_a_token(base.model)
        self._end_tokens = base.end_tokens
        # Its own copy, for a tokenizer refuses to be used by two threads at once.
        self._tokenizer = Tokenizer.from_str(base.tokenizer.backend_tokenizer.to_str())
        self._adapters: Adapters | None = None  # with the first `load`, for PEFT takes a while to import
        self._max_batch = max_batch
        self._kv = KvBudget(kv_tokens)
        self._waiting: FairQueue[Writing] = FairQueue()
        self._batches: dict[str | None, Batch] = {}
        self._writing: dict[Row, Writing] = {}
        self._retiring: set[str] = set()
        self._rounds = 0
        self.row_limit = max_batch
        """How many rows may be written at once: `max_batch`, and fewer for a while after memory has run out."""
        self.kv_reserved = 0
        """How many tokens' keys and values the rows in hand may come to hold."""

    @property
    def is_idle(self) -> bool:
        """Whether a round would do nothing."""
        return not self._waiting and not self._batches and not self._retiring

    def add(self, job: Job) -> None:
        """Let a job wait for a row; alone it must fit into `kv_tokens`."""
        self._waiting.add(Writing(job, self._tokenizer), person=job.person, cost=job.reach)

    def run_round(self) -> list[Progress]:
        """Admit whom there is room for, write one token of every other row; return what changed, in order."""
        running = list(self._batches)
        progress = self._admit()
        for adapter in running:
            progress += self._step(adapter)
        self._batches = {adapter: batch for adapter, batch in self._batches.items() if batch.rows}
        self._free_retired()
        self._recover()
        self.kv_reserved = self._kv.reserved
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
        if not self._retiring:
            return
        used = {*self._batches, *(writing.job.adapter for writing in self._waiting.items())}
        for adapter in self._retiring - used:
            assert self._adapters is not None, "only loaded adapters retire"
            self._adapters.delete(adapter)
        self._retiring &= used

    def _admit(self) -> list[Progress]:
        """Move waiting jobs into batches, as the queue says and as there is room, and write their first token."""
        gone = self._waiting.remove(lambda writing: writing.job.is_cancelled)
        progress = [Progress(writing.job, finish_reason="cancelled") for writing in gone]
        newcomers: dict[str | None, list[Row]] = {}
        for writing in self._next():
            row = writing.row()
            self._writing[row] = writing
            newcomers.setdefault(writing.job.adapter, []).append(row)
        for adapter, rows in newcomers.items():
            self._batches.setdefault(adapter, Batch(self._model))
            progress += self._advance(adapter, rows)
        return progress

    def _next(self) -> list[Writing]:
        """Take those off the queue who get a row now, and reserve for them; nobody is let past whose turn it is."""
        chosen: list[Writing] = []
        widest = 0
        while (writing := self._waiting.peek()) and len(self._writing) + len(chosen) < self.row_limit:
            widest = max(widest, writing.unread)
            is_too_much = chosen and widest * (len(chosen) + 1) > _PREFILL_TOKENS
            if is_too_much or not self._kv.fits(writing.job.adapter, writing.job.reach):
                break
            self._kv.take(writing.job.adapter, writing.job.reach)
            chosen.append(self._waiting.pop())
        return chosen

    def _step(self, adapter: str | None) -> list[Progress]:
        """Free the rows of cancelled jobs, then write one token of every other row."""
        batch = self._batches[adapter]
        gone = [row for row in batch.rows if self._writing[row].job.is_cancelled]
        progress = [Progress(self._writing[row].job, finish_reason="cancelled") for row in gone]
        self._leave(adapter, gone)
        return progress + self._advance(adapter) if batch.rows else progress

    def _advance(self, adapter: str | None, newcomers: Sequence[Row] = ()) -> list[Progress]:
        """Compute the next token of the newcomers, or else of every row, and let the finished leave."""
        batch = self._batches[adapter]
        rows = list(newcomers or batch.rows)
        tokens, ran_out = None, False
        self._spread(sum(self._writing[row].unread for row in rows) if newcomers else len(rows))
        try:
            if self._adapters is not None:
                self._adapters.activate(adapter)
            tokens = batch.join(rows) if newcomers else batch.step()
        except (RuntimeError, MemoryError) as error:  # torch's; what is repaired is repaired outside this block
            ran_out = is_out_of_memory(error)
            logger.exception("A batch of %d rows failed.", len(rows))
        if tokens is None:
            return self._repair(adapter, list(dict.fromkeys([*batch.rows, *rows])), ran_out=ran_out)
        progress = [self._writing[row].take(token, self._end_tokens) for row, token in zip(rows, tokens, strict=True)]
        self._leave(adapter, [row for row, step in zip(rows, progress, strict=True) if step.is_last])
        return progress

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
        self._batches[adapter] = Batch(self._model)
        lost = [self._forget(row) for row in rows]
        if ran_out and in_hand > 1:
            self.row_limit, self._rounds = in_hand // 2, 0
            for writing in lost:
                self._waiting.put_back(writing)
            return []
        error = EngineUnavailable("The model could not compute this answer; ask again, or ask for less.")
        return [Progress(writing.job, error=error) for writing in lost]

    def _recover(self) -> None:
        """Let one more row be written at once after a while without a want of memory."""
        self._rounds += 1
        if self._rounds >= _RECOVERY_ROUNDS and self.row_limit < self._max_batch:
            self.row_limit, self._rounds = self.row_limit + 1, 0
