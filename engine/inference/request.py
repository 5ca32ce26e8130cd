"""One request on its way through the scheduler: the job, what a round brings it, and the text as it grows.

Knows token ids, sampling and text. Knows nothing of batches, queues or threads. A text can leave its batch at any
moment and go on in another: the new row reads the prompt and all that is written, and draws the random numbers that
would have come next. (vLLM calls this preemption by recomputation: Kwon et al., SOSP 2023, section 4.5.)

One answer being written, as the event loop sees it: pieces of text come in, a reader takes them out.

Knows progress, events and time. Knows nothing of models, queues or HTTP.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Hashable, Sequence
from dataclasses import dataclass, replace
from random import getrandbits
from typing import Final

from tokenizers import Tokenizer

from engine.api.types import FinishReason, Message, Sampling, Selection, seed_of
from engine.errors import EngineError, EngineUnavailable, ModelError
from engine.inference.batch import Row
from engine.inference.detokenizer import TextStream
from engine.inference.sampler import NOT_FINITE
from engine.models.family import ORDINARY, ModelFamily


@dataclass(slots=True, eq=False)
class Job:
    """One request, as the scheduler sees it."""

    prompt: Sequence[int]
    sampling: Sampling
    adapter: str | None = None
    """The key of its version's adapter; None: the base."""
    user: str | None = None
    """Whose it is; None: somebody who asks for nothing else."""
    best_of: int = 1
    """So many texts may be written of it, side by side, where nobody has to wait for them."""
    messages: Sequence[Message] = ()
    """What the prompt says."""
    family: ModelFamily = ORDINARY
    """Of the model."""
    is_cancelled: bool = False
    """May be set from any thread; the job's rows are free before the next step."""

    @property
    def person(self) -> Hashable:
        """For whom turns are counted: the user, or else this job alone."""
        return self if self.user is None else self.user

    @property
    def reach(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return len(self.prompt) + self.sampling.max_tokens


@dataclass(frozen=True, slots=True)
class Take:
    """One of several finished texts of a job."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Progress:
    """What one round brought to one job. The last has a finish reason or an error."""

    job: Job
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    error: EngineError | None = None
    takes: tuple[Take, ...] = ()
    """All that was written, when it was several texts and one is still to be chosen: the next is the last."""
    compared: int = 1
    """How many texts `text` was chosen from."""

    @property
    def is_last(self) -> bool:
        """Whether the job is over."""
        return self.finish_reason is not None or self.error is not None


class Writing:
    """A text of a job and how far it is written, whether its row is in a batch or it waits for one.

    `number` counts the texts of one job: the first is 0, those beside it are its companions.
    """

    def __init__(self, job: Job, tokenizer: Tokenizer, number: int = 0) -> None:
        self.job = job
        self.number = number
        self.is_over = False
        self._sampling = replace(job.sampling, seed=seed_of(job.sampling.seed, number))
        self._text = TextStream(tokenizer, job.sampling.stop)
        self._written: list[int] = []
        self._noise_seed = getrandbits(31)

    @property
    def written(self) -> int:
        """How many tokens of it are written."""
        return len(self._written)

    @property
    def unread(self) -> int:
        """How many tokens a new row has to read."""
        return len(self.job.prompt) + len(self._written)

    def row(self) -> Row:
        """A new row that goes on where the text stands."""
        row = Row([*self.job.prompt, *self._written], self._sampling, noise_seed=self._noise_seed)
        row.sampler.go_on_after(self._written)
        return row

    def take(self, token: int, end_tokens: frozenset[int]) -> Progress:
        """Add the newest token and say what it means for a job of this text alone."""
        progress = self._taken(token, end_tokens)
        self.is_over = progress.is_last
        return progress

    def _taken(self, token: int, end_tokens: frozenset[int]) -> Progress:
        if token == NOT_FINITE:
            name = "The base model" if self.job.adapter is None else "This version"
            return Progress(self.job, error=ModelError(f"{name} computes values that are not numbers; roll it back."))
        self._written.append(token)
        is_end = token in end_tokens and not self._sampling.ignore_eos
        text = "" if is_end else self._text.push(token)
        reason: FinishReason | None = None
        if is_end or self._text.is_stopped:
            reason = "stop"
        elif len(self._written) >= self._sampling.max_tokens:
            reason = "length"
        if reason is not None:
            text += self._text.finish()
        return Progress(self.job, self.job.family.as_shown(text, self.job.messages), 1, reason)


SILENCE_SECONDS: Final = 600.0
"""A request that hears nothing for so long, in the queue or out of it, ends with an error."""


class Generation:
    """One answer being written. Iterate `deltas`; `cancel` when nobody wants the rest."""

    def __init__(self, job: Job, version: str, selection: Selection) -> None:
        self.version = version
        self.selection = selection
        self.prompt_tokens = len(job.prompt)
        self.completion_tokens = 0
        """Those of all texts that were written."""
        self.best_of = 1
        """How many texts its text was chosen from, once it is finished."""
        self.finish_reason: FinishReason | None = None
        self.job = job
        self.timer: asyncio.TimerHandle | None = None
        """What will end it, if it has a deadline."""
        self._begun = asyncio.Event()
        self._error: EngineError | None = None
        self._pieces: list[str] = []
        self._wake = asyncio.Event()
        self._woken_at = 0.0
        self._heard_at = 0.0

    @property
    def is_started(self) -> bool:
        """Whether it has a row, or had one, or is over."""
        return self._begun.is_set()

    @property
    def is_failed(self) -> bool:
        """Whether it ended with an error."""
        return self._error is not None

    async def starts_within(self, seconds: float) -> bool:
        """Wait until it is started, for so long at most; whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()
        return self.is_started

    async def deltas(self) -> AsyncGenerator[str, None]:
        """The text in pieces, as they come; several rounds in one piece when the reader is slower.

        Raises:
            EngineError: the engine stopped, the model failed, its time was over, or nothing came for
                `SILENCE_SECONDS`.
        """
        is_over = False
        while not is_over:
            await self._woken()
            self._wake.clear()
            is_over = self.finish_reason is not None or self.is_failed
            if text := "".join(self._pieces):
                self._pieces.clear()
                yield text
        if self._error is not None:
            raise self._error

    async def speaks_within(self, seconds: float) -> bool:
        """Wait for its first text or its end, for so long at most; whether there is any to be read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        return self._wake.is_set()

    async def _woken(self) -> None:
        """Wait for more text; of several texts none is to be read before all are written."""
        while not self._wake.is_set():
            heard_at = self._heard_at
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._wake.wait()
            except TimeoutError as error:
                if self._heard_at > heard_at:
                    continue
                self.cancel()
                raise EngineUnavailable("The engine has been silent for too long; ask again later.") from error

    def cancel(self) -> None:
        """Free the row within a step; a finished generation stays as it is."""
        self.job.is_cancelled = True

    def take(self, progress: Progress, *, now: float, pause_seconds: float) -> None:
        """Note what a round brought; wake the reader once `pause_seconds` have passed since the last piece."""
        self._begun.set()
        self._heard_at = now
        self.best_of = progress.compared
        self.completion_tokens += progress.tokens
        self.finish_reason, self._error = progress.finish_reason, progress.error
        if progress.is_last and self.timer is not None:
            self.timer.cancel()
        if progress.text:
            self._pieces.append(progress.text)
        if (self._pieces and now >= self._woken_at + pause_seconds) or progress.is_last:
            self._woken_at = now
            self._wake.set()
