"""The engine in this process: an async face over one thread that owns the model.

Knows versions by name, messages, sampling and the bounded queue. Knows nothing of HTTP, chats or people.
The thread gets jobs and tasks through one queue, between rounds, and reports once a round through the event loop.
"""

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.chat import FinishReason, Message, Sampling
from engine.chat_template import ChatTemplate
from engine.errors import EngineBusy, EngineError, EngineUnavailable, ModelError, RequestError
from engine.model import Base
from engine.scheduler import Job, Progress, Scheduler
from engine.versions import check_name, verify
from engine.worker import Worker

STUCK_SECONDS: Final = 120.0
"""A round that lasts longer is stuck. Reading a long prompt on a slow CPU takes a good part of a minute, and a client
of ours waits no longer than this for a word."""
SILENCE_SECONDS: Final = 600.0
"""A request that hears nothing for so long, in the queue or out of it, ends with an error."""

_CANARY = (Message("user", "Hello!"),)
_STOP_SECONDS = 1.0
_PIECES_PER_SECOND = 500
"""Over all streams: a piece of text costs server and client together half a millisecond. One stream gets every token
as it comes; among 64, each gets a piece about 8 times a second."""


class Generation:
    """One answer being written. Iterate `deltas`; `cancel` when nobody wants the rest."""

    def __init__(self, job: Job, version: str) -> None:
        self.version = version
        self.prompt_tokens = len(job.prompt)
        self.completion_tokens = 0
        self.finish_reason: FinishReason | None = None
        self.is_started = False
        self._job = job
        self._error: EngineError | None = None
        self._pieces: list[str] = []
        self._wake = asyncio.Event()
        self._woken_at = 0.0

    @property
    def is_failed(self) -> bool:
        """Whether it ended with an error."""
        return self._error is not None

    async def deltas(self) -> AsyncGenerator[str, None]:
        """The text in pieces, as they come; several rounds in one piece when the reader is slower.

        Raises:
            EngineError: the engine stopped, the model failed, or nothing came for `SILENCE_SECONDS`.
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

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._wake.wait()
        except TimeoutError as error:
            self.cancel()
            raise EngineUnavailable("The engine has been silent for too long; ask again later.") from error

    def cancel(self) -> None:
        """Free the row within a step; a finished generation stays as it is."""
        self._job.is_cancelled = True

    def take(self, progress: Progress, *, now: float, pause_seconds: float) -> None:
        """Note what a round brought; wake the reader once `pause_seconds` have passed since the last piece."""
        self.is_started = True
        self.completion_tokens += progress.tokens
        self.finish_reason, self._error = progress.finish_reason, progress.error
        if progress.text:
            self._pieces.append(progress.text)
        if (self._pieces and now >= self._woken_at + pause_seconds) or progress.is_last:
            self._woken_at = now
            self._wake.set()


@dataclass(frozen=True, slots=True)
class _Version:
    adapter: str
    folder: Path
    content_hash: str


class Engine:
    """The base and its versions, ready for requests between `__aenter__` and `__aexit__`.

    `max_batch` rows are written at once; `max_queue` more may wait.
    """

    def __init__(self, base: Base, *, max_queue: int = 256, max_batch: int = 64) -> None:
        self.base_name = base.name
        self.context_tokens = base.context_tokens
        self._capacity = max_batch + max_queue
        self._template = ChatTemplate(base.tokenizer)
        self._worker = Worker(Scheduler(base, max_batch=max_batch), report=self._deliver, ended=self._fail_all)
        self._versions: dict[str, _Version] = {}
        self._generations: dict[Job, Generation] = {}
        self._loading = asyncio.Lock()
        self._is_closing = False
        self._is_idle = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the thread has ended, whether asked to or by a fault."""

    async def __aenter__(self) -> Self:
        self._worker.start_on(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(grace_seconds=0.0)

    async def close(self, *, grace_seconds: float) -> None:
        """Take no more requests, let those in hand go on for `grace_seconds`, then end them and the thread."""
        self._is_closing = True
        if self._generations:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._is_idle.wait()
        self._worker.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self.ended.wait()
        self._fail_all()  # even if the thread hangs in a long computation

    @property
    def is_alive(self) -> bool:
        """Whether requests are taken."""
        return self._worker.is_alive() and not self._is_closing and not self.ended.is_set()

    @property
    def is_stuck(self) -> bool:
        """Whether the thread has been in one round, or in loading one version, for longer than `STUCK_SECONDS`."""
        since = self._worker.busy_since
        return since is not None and time.monotonic() - since > STUCK_SECONDS

    @property
    def model_names(self) -> tuple[str, ...]:
        """What requests may name: the base first, then the versions in the order of loading."""
        return (self.base_name, *self._versions)

    @property
    def waiting(self) -> int:
        """How many requests have no row yet."""
        return sum(not generation.is_started for generation in self._generations.values())

    @property
    def running(self) -> int:
        """How many requests are being written."""
        return len(self._generations) - self.waiting

    def submit(
        self, messages: Sequence[Message], sampling: Sampling, *, model: str, fills_context: bool = False
    ) -> Generation:
        """Queue a request for the version `model`.

        With `fills_context`, `max_tokens` is lowered to what the prompt leaves of the context.

        Raises:
            RequestError: there is no such version (status 404), the chat template refuses the messages, or prompt and
                answer do not fit the context.
            EngineBusy: too many requests wait.
            EngineUnavailable: the engine has stopped.
        """
        if model not in self.model_names:
            raise RequestError(f"There is no model {model!r}; there are {', '.join(self.model_names)}.", status=404)
        if not self.is_alive:
            raise EngineUnavailable("The engine is stopping; ask again when it is back.")
        if len(self._generations) >= self._capacity:
            raise EngineBusy(f"{self.waiting} requests are waiting already; try again in a moment.")
        prompt = self._template.encode(messages)
        room = self.context_tokens - len(prompt)
        if fills_context and room > 0:
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        if sampling.max_tokens > room:
            raise RequestError(
                f"The messages have {len(prompt)} tokens and max_tokens is {sampling.max_tokens}, but together they may"
                f" be {self.context_tokens} tokens at most; shorten the messages or ask for less."
            )
        version = self._versions.get(model)
        job = Job(prompt, sampling, version.adapter if version else None)
        generation = self._generations[job] = Generation(job, model)
        self._is_idle.clear()
        self._worker.submit(job)
        return generation

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load the version folder `folder` beside the others; it can be asked for when this returns.

        The same folder under the same name again changes nothing.

        Raises:
            ModelError: the manifest does not match, the adapter does not fit, or its canary fails. Nothing changed.
        """
        check_name(name)
        async with self._loading:
            content_hash = await asyncio.to_thread(_prepare, folder)
            if loaded := self._versions.get(name):
                if loaded.content_hash == content_hash:
                    return
                raise ModelError(f"{name} is loaded already, with other weights; unload it first or use a new name.")
            if name == self.base_name:
                raise ModelError(f"{name} is the base model's name; give the adapter another.")
            canary = self._template.encode(_CANARY)
            adapter = await asyncio.wrap_future(self._worker.call(lambda scheduler: scheduler.load(folder, canary)))
            self._versions[name] = _Version(adapter, folder, content_hash)

    def unload_adapter(self, name: str) -> None:
        """Forget a version: no new requests for it, while those that run are finished.

        Raises:
            RequestError: there is no such version (status 404).
        """
        if name not in self._versions:
            raise RequestError(f"There is no adapter {name!r} here.", status=404)
        adapter = self._versions.pop(name).adapter
        self._worker.call(lambda scheduler: scheduler.retire(adapter))

    def _deliver(self, progress: Sequence[Progress]) -> None:
        now = asyncio.get_running_loop().time()
        pause_seconds = len(self._generations) / _PIECES_PER_SECOND
        for step in progress:
            if generation := self._generations.get(step.job):
                generation.take(step, now=now, pause_seconds=pause_seconds)
            if step.is_last:
                self._generations.pop(step.job, None)
        if not self._generations:
            self._is_idle.set()

    def _fail_all(self) -> None:
        """The thread has ended. Called on the loop, so no request can slip in between the end and this."""
        self.ended.set()
        error = EngineUnavailable("The engine stopped before the answer was complete; ask again.")
        self._deliver([Progress(job, error=error) for job in self._generations])


def _prepare(folder: Path) -> str:
    """Verify a version off the loop; import PEFT there too, so that the first load does not hold up the others."""
    importlib.import_module("engine.adapters")
    return verify(folder)
