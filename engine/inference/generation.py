"""One answer being written, as the event loop sees it: pieces of text come in, a reader takes them out.

Knows progress, events and time. Knows nothing of models, queues or HTTP.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from engine.api.chat import FinishReason
from engine.api.tasting import Choosing
from engine.errors import EngineError, EngineUnavailable
from engine.inference.writing import Job, Progress

SILENCE_SECONDS: Final = 600.0
"""A request that hears nothing for so long, in the queue or out of it, ends with an error."""


class Generation:
    """One answer being written. Iterate `deltas`; `cancel` when nobody wants the rest."""

    def __init__(self, job: Job, version: str, choosing: Choosing) -> None:
        self.version = version
        self.choosing = choosing
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
