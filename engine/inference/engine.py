"""What requests may name: the base, and the versions that are loaded beside it.

Knows names, folders, hashes and the thread that holds the adapters. Knows nothing of requests. One event loop uses it.

The engine in this process: an async face over one thread that owns the model.

Knows models and tastes by name, messages, sampling, and who may still wait. Knows users as mere words, nothing of HTTP
or chats.
The thread gets jobs and tasks through one queue, between rounds, and reports once a round through the event loop.
"""

import asyncio
import contextlib
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.client import NOT_FOUND
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.api.fair_queue import FinishRate, ahead
from engine.api.types import ONE_TEXT, Message, Sampling, Selection
from engine.errors import DeadlineExceeded, EngineBusy, EngineUnavailable, ModelError, RequestError
from engine.inference.chooser import Tastes
from engine.inference.kv_cache import default_kv_tokens
from engine.inference.request import Generation, Job, Progress, Take
from engine.inference.scheduler import Scheduler
from engine.inference.watermark import Detection, Watermark, strongest
from engine.inference.worker import Worker
from engine.models.loader import Base, ChatTemplate
from engine.runs.versions import check_name, verify

_CANARY = (Message("user", "Hello!"),)


@dataclass(frozen=True, slots=True)
class _Version:
    adapter: str
    content_hash: str


class Catalogue:
    """The names, and the adapter behind each."""

    def __init__(self, base_name: str, *, worker: Worker, template: ChatTemplate) -> None:
        self._base_name = base_name
        self._worker = worker
        self._template = template
        self._versions: dict[str, _Version] = {}
        self._loading = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The base first, then the versions in the order of loading."""
        return (self._base_name, *self._versions)

    def adapter(self, model: str) -> str | None:
        """The key of a version's adapter; None: the base. RequestError (status 404) if there is none of that name."""
        if model not in self.names:
            raise RequestError(f"There is no model {model!r}; there are {', '.join(self.names)}.", status=404)
        version = self._versions.get(model)
        return version.adapter if version else None

    async def load(self, name: str, folder: Path) -> None:
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
            if name == self._base_name:
                raise ModelError(f"{name} is the base model's name; give the adapter another.")
            canary = self._template.encode(_CANARY)
            adapter = await asyncio.wrap_future(self._worker.call(lambda scheduler: scheduler.load(folder, canary)))
            self._versions[name] = _Version(adapter, content_hash)

    def unload(self, name: str) -> None:
        """Forget a version: no new requests for it, while those that run are finished.

        Raises:
            RequestError: there is no such version (status 404).
        """
        if name not in self._versions:
            raise RequestError(f"There is no adapter {name!r} here.", status=404)
        adapter = self._versions.pop(name).adapter
        self._worker.call(lambda scheduler: scheduler.retire(adapter))


def _prepare(folder: Path) -> str:
    """Verify a version off the loop; import PEFT there too, so that the first load does not hold up the others."""
    importlib.import_module("engine.inference.adapters")
    return verify(folder)


STUCK_SECONDS: Final = 120.0
"""A round that lasts longer is stuck. Reading a long prompt on a slow CPU takes a good part of a minute, and a client
of ours waits no longer than this for a word."""

_STOP_SECONDS = 1.0
_PIECES_PER_SECOND = 250
"""Over all streams: a piece of text costs server and client together half a millisecond. One stream gets every token
as it comes; among 64, each gets a piece about 4 times a second."""


class Engine:
    """The base and its versions, ready for requests between `__aenter__` and `__aexit__`.

    `max_batch` rows are written at once, and all of them together hold no more than `kv_tokens` tokens' keys and values
    (by default, what fits into a quarter of the free memory); `max_queue` more requests may wait. The model takes up to
    `threads` of the CPU, or what torch is set to. The first of the `watermarks` marks texts, all are looked for.
    """

    def __init__(
        self,
        base: Base,
        *,
        max_queue: int = 256,
        max_batch: int = 64,
        kv_tokens: int | None = None,
        threads: int | None = None,
        watermarks: Sequence[Watermark] = (),
    ) -> None:
        self.base_name = base.name
        self.context_tokens = base.context_tokens
        self.kv_tokens = kv_tokens or default_kv_tokens(base)
        self._capacity = max_batch + max_queue
        self._template = base.template
        self._family = base.family
        self._scheduler = Scheduler(base, max_batch=max_batch, kv_tokens=self.kv_tokens, threads=threads)
        self._scheduler.watermark = watermarks[0] if watermarks else None
        self._watermarks = watermarks
        self._worker = Worker(self._scheduler, report=self._deliver, ended=self._fail_all)
        self._catalogue = Catalogue(base.name, worker=self._worker, template=self._template)
        self.tastes = Tastes(base, template=self._template, worker=self._worker)
        self._generations: dict[Job, Generation] = {}
        self._choices: set[asyncio.Task[None]] = set()
        self._finish_rate = FinishRate()
        self._is_closing = False
        self._is_idle = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the thread has ended, whether asked to or by a fault."""

    async def look_for_watermark(self, text: str) -> Detection:
        """What a text shows of a watermark: any of the engine's.

        Raises:
            RequestError: the engine marks nothing.
        """
        if not self._watermarks:
            raise RequestError("This server marks no texts: start it with --watermark-key.", status=NOT_FOUND)
        ids = self._template.plain(text)
        found = await asyncio.to_thread(lambda: [mark.look_for(ids) for mark in self._watermarks])
        return strongest(found)

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
        return self._catalogue.names

    @property
    def waiting(self) -> int:
        """How many requests have no row yet."""
        return len(self._waiting())

    @property
    def running(self) -> int:
        """How many requests are being written."""
        return len(self._generations) - self.waiting

    @property
    def row_limit(self) -> int:
        """How many may be written at once now; fewer than `max_batch` for a while after memory has run out."""
        return self._scheduler.row_limit

    @property
    def kv_reserved(self) -> int:
        """How many of `kv_tokens` those that are being written may come to hold."""
        return self._scheduler.kv_reserved

    def submit(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        model: str,
        fills_context: bool = False,
        user: str | None = None,
        selection: Selection = ONE_TEXT,
        timeout_seconds: float | None = None,
    ) -> Generation:
        """Queue a request for the version `model`.

        With `fills_context`, `max_tokens` is lowered to what the prompt leaves of the context. Rows are dealt out
        fairly between users. By `selection`, several texts may be written and one of them selected. After
        `timeout_seconds` the answer ends with `DeadlineExceeded`, wherever it stands.

        Raises:
            RequestError: there is no such version (status 404), the chat template refuses the messages, or prompt and
                answer do not fit the context or the memory for keys and values.
            EngineBusy: too many requests wait, or too many of this user's.
            EngineUnavailable: the engine has stopped.
        """
        adapter = self._catalogue.adapter(model)
        if not self.is_alive:
            raise EngineUnavailable("The engine is stopping; ask again when it is back.")
        self._check_room(user)
        prompt = self._template.encode(messages)
        sampling = self._fitted(sampling, len(prompt), fills_context=fills_context)
        # Greedy texts are all the same, and without a taste there is nothing to choose by.
        best_of = 1 if sampling.is_greedy or selection.taste not in self.tastes else selection.best_of
        job = Job(prompt, sampling, adapter, user, best_of, messages, self._family)
        loop = asyncio.get_running_loop()
        if not self._generations:
            self._finish_rate.start(loop.time())
        generation = self._generations[job] = Generation(job, model, selection)
        if timeout_seconds is not None:
            generation.timer = loop.call_later(timeout_seconds, self._expire, job, timeout_seconds)
        self._is_idle.clear()
        self._worker.submit(job)
        return generation

    def ahead_of(self, generation: Generation) -> int:
        """How many waiting requests get a row before this one, at most; 0 when it waits no more."""
        waiting = self._waiting()
        if generation.job not in waiting:
            return 0
        return ahead([job.person for job in waiting], waiting.index(generation.job))

    def _waiting(self) -> list[Job]:
        """The requests that have no row yet, in the order of asking."""
        return [job for job, generation in self._generations.items() if not generation.is_started]

    def _check_room(self, user: str | None) -> None:
        """Let a user have no more requests waiting than there are places left.

        So one user alone gets half of the places, two get a third each, and the rest is there for newcomers (dynamic
        thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
        """
        waiting = self._waiting()
        of_user = 0 if user is None else sum(job.user == user for job in waiting)
        if of_user < self._capacity - len(self._generations):
            return
        seconds = self._finish_rate.seconds_for(of_user or len(waiting), asyncio.get_running_loop().time())
        theirs = f", {of_user} of them for the same user" if of_user else ""
        raise EngineBusy(
            f"{len(waiting)} requests are waiting already{theirs}; try again in {seconds} s.",
            retry_after_seconds=seconds,
        )

    def _fitted(self, sampling: Sampling, prompt_tokens: int, *, fills_context: bool) -> Sampling:
        """The sampling with a `max_tokens` for which there is room; RequestError if there is none."""
        most = min(self.context_tokens, self.kv_tokens)
        room = most - prompt_tokens
        if fills_context and room > 0:
            return replace(sampling, max_tokens=min(sampling.max_tokens, room))
        if sampling.max_tokens > room:
            raise RequestError(
                f"The messages have {prompt_tokens} tokens and max_tokens is {sampling.max_tokens}, but together they"
                f" may be {most} tokens at most; shorten the messages or ask for less."
            )
        return sampling

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load a version folder beside the others; raises ModelError as `Catalogue.load` does."""
        await self._catalogue.load(name, folder)

    def unload_adapter(self, name: str) -> None:
        """Forget a version; RequestError (status 404) if there is none of that name."""
        self._catalogue.unload(name)

    def _deliver(self, progress: Sequence[Progress]) -> None:
        now = asyncio.get_running_loop().time()
        pause_seconds = len(self._generations) / _PIECES_PER_SECOND
        for step in progress:
            if generation := self._generations.get(step.job):
                generation.take(step, now=now, pause_seconds=pause_seconds)
                if step.takes:
                    choice = asyncio.create_task(self._choose(generation, step.takes))
                    self._choices.add(choice)
                    choice.add_done_callback(self._choices.discard)
                if step.is_last:
                    del self._generations[step.job]
                    self._finish_rate.finish(now)
        if not self._generations:
            self._is_idle.set()

    async def _choose(self, generation: Generation, takes: Sequence[Take]) -> None:
        """End an answer of several texts with the one that pleases most; whatever happens, it ends."""
        last = Progress(generation.job, takes[0].text, finish_reason=takes[0].finish_reason)
        try:
            take, compared = await self.tastes.choose(generation.job, takes, generation.selection)
            last = Progress(generation.job, take.text, finish_reason=take.finish_reason, compared=compared)
        finally:
            self._deliver([last])

    def _expire(self, job: Job, seconds: float) -> None:
        """End an answer whose time is over; its row is free before the next step."""
        job.is_cancelled = True
        error = DeadlineExceeded(f"The answer was not complete within {seconds:g} s; allow more time or ask for less.")
        self._deliver([Progress(job, error=error)])

    def _fail_all(self) -> None:
        """The thread has ended. Called on the loop, so no request can slip in between the end and this."""
        self.ended.set()
        error = EngineUnavailable("The engine stopped before the answer was complete; ask again.")
        self._deliver([Progress(job, error=error) for job in self._generations])
