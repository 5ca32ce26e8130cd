"""The engine in this process: an async face over one thread that owns the model.

The thread runs the scheduler's rounds. It gets calls between two rounds, and reports once a round through the event
loop, where everything in this module happens.
"""

import asyncio
import contextlib
import importlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from engine.api.thoughts import without_thoughts
from engine.api.types import FinishReason, Message, Sampling, TokenLogprob, WrittenText
from engine.errors import DeadlineExceeded, EngineBusy, EngineError, EngineUnavailable, ModelError, RequestError
from engine.inference.kv_cache import default_kv_tokens
from engine.inference.request import Job, JobProgress
from engine.inference.scheduler import FinishRate, Scheduler, Worker, ahead
from engine.inference.watermark import Detection, Watermark, strongest
from engine.models.loader import Base, ChatTemplate
from engine.runs.versions import check_name, verify

STUCK_SECONDS: Final = 120.0
"""A round that lasts longer is stuck. Reading a long prompt on a slow CPU takes a good part of a minute, and a client
of ours waits no longer than this for a word."""
SILENCE_SECONDS: Final = 600.0
"""A request that gets nothing for so long, in the queue or out of it, ends with an error."""

T = TypeVar("T")

_STOP_SECONDS = 1.0
_SHORT_CHARACTERS = 8192
"""So much is read into tokens at once, in some milliseconds; what is longer is read in a thread of its own."""
_CHARACTERS_A_MESSAGE = 32
"""What a message costs by itself, in the characters that are read in the same time."""
_PIECES_PER_SECOND = 250
"""Over all streams: a piece of text costs server and client together half a millisecond. One stream gets every token
as it comes; among 64, each gets a piece about 4 times a second."""
_CANARY_PROMPT = (Message("user", "Hello!"),)


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
        self._base = base
        self.context_tokens = base.context_tokens
        self.kv_tokens = kv_tokens or default_kv_tokens(base)
        self.most_characters = self.context_tokens * base.template.characters_a_token
        """Messages with more can in no way fit into the context."""
        self._reader = ThreadPoolExecutor(1, "engine-reader")
        self._long_template: ChatTemplate | None = None
        """The reader's own, for no tokenizer serves two threads; made when it is needed."""
        self._capacity = max_batch + max_queue
        self._watermarks = watermarks
        mark = watermarks[0] if watermarks else None
        self.scheduler = Scheduler(base, max_batch=max_batch, kv_tokens=self.kv_tokens, threads=threads, watermark=mark)
        self._worker = Worker(self.scheduler, report=self._deliver, ended=self._fail_all)
        self._adapters: dict[str, tuple[str, str]] = {}
        """Version -> the key of its adapter, and the hash of its folder's content."""
        self._loading = asyncio.Lock()
        self._streams: dict[Job, TextStream] = {}
        self._finish_rate = FinishRate()
        self._is_closing = False
        self._is_idle = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the thread has ended, whether asked to or by a fault."""

    async def __aenter__(self) -> Self:
        self._worker.start_on(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close(grace_seconds=0.0)

    async def close(self, *, grace_seconds: float) -> None:
        """Take no more requests, let those in hand go on for `grace_seconds`, then end them and the thread."""
        self._is_closing = True
        if self._streams:
            await within(grace_seconds, self._is_idle)
        self._worker.stop()
        self._reader.shutdown(wait=False, cancel_futures=True)
        await within(_STOP_SECONDS, self.ended)
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
    def waiting(self) -> int:
        """How many requests have no row yet."""
        return len(self._waiting())

    @property
    def running(self) -> int:
        """How many requests are being written."""
        return len(self._streams) - self.waiting

    def submit(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        model: str,
        fills_context: bool = False,
        user: str | None = None,
        n: int = 1,
        spare_seconds: float | None = None,
        timeout_seconds: float | None = None,
        prompt: Sequence[int] | None = None,
    ) -> "TextStream":
        """Queue a request for the version `model`.

        `prompt` is what `read` has made of the messages; None: they are read here, which is for short ones.
        With `fills_context`, `max_tokens` is lowered to what the prompt leaves of the context. Rows are dealt out
        fairly between users. `n` texts are written; with `spare_seconds` all but the first only as far as nobody waits
        for them and the answer keeps within so many seconds. After `timeout_seconds` the answer ends with
        `DeadlineExceeded`, wherever it stands.

        Raises:
            RequestError: there is no such version (status 404), the chat template refuses the messages, or prompt and
                answer do not fit the context or the memory for keys and values.
            EngineBusy: too many requests wait, or too many of this user's.
            EngineUnavailable: the engine has stopped.
        """
        self._check(model, user)
        if prompt is None:
            prompt = self._base.template.encode(messages)
        sampling = self._fitted(sampling, len(prompt), fills_context=fills_context)
        if sampling.is_greedy and spare_seconds is not None:
            n = 1  # the others would be the same
        adapter, _ = self._adapters.get(model, (None, ""))
        thinks = self._base.template.opens_thought
        job = Job(prompt, sampling, adapter, user, n, spare_seconds, messages, self._base.family, thinks)
        loop = asyncio.get_running_loop()
        if not self._streams:
            self._finish_rate.start(loop.time())
        stream = self._streams[job] = TextStream(job, model)
        if timeout_seconds is not None:
            stream.timer = loop.call_later(timeout_seconds, self._expire, job, timeout_seconds)
        self._is_idle.clear()
        self._worker.call(lambda scheduler: scheduler.add(job))
        return stream

    async def read(self, messages: Sequence[Message], *, model: str, user: str | None = None) -> Sequence[int]:
        """The token ids of the messages, for `submit`; other requests go on meanwhile, however long they are.

        Raises:
            RequestError, EngineBusy, EngineUnavailable: as of `submit`, as far as that can be told before.
        """
        self._check(model, user)
        characters = sum(len(message.content) for message in messages)
        if characters > self.most_characters:
            raise RequestError(
                f"The messages have {characters} characters, which is too long for a context of {self.context_tokens}"
                " tokens; shorten them.",
                kind="too_long",
                param="messages",
            )
        if characters + _CHARACTERS_A_MESSAGE * len(messages) <= _SHORT_CHARACTERS:
            return self._base.template.encode(messages)
        return await self._read_long(lambda template: template.encode(messages))

    async def _read_long(self, read: Callable[[ChatTemplate], T]) -> T:
        """What `read` makes with the template in the reader's thread, one text after another."""

        def work() -> T:
            self._long_template = self._long_template or self._base.template.copy()
            return read(self._long_template)

        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    def _check(self, model: str, user: str | None) -> None:
        """Whether a request can be taken, whatever it says; raises as `submit` does."""
        if model not in self.model_names:
            raise RequestError(f"There is no model {model!r}; there are {', '.join(self.model_names)}.", status=404)
        if not self.is_alive:
            raise EngineUnavailable("The engine is stopping; ask again when it is back.")
        self._check_room(user)

    def ahead_of(self, stream: "TextStream") -> int:
        """How many waiting requests get a row before this one, at most; 0 when it waits no more."""
        waiting = self._waiting()
        if stream.job not in waiting:
            return 0
        return ahead([job.person for job in waiting], waiting.index(stream.job))

    def _waiting(self) -> list[Job]:
        """The requests that have no row yet, in the order of asking."""
        return [job for job, stream in self._streams.items() if not stream.started.is_set()]

    def _check_room(self, user: str | None) -> None:
        """Let a user have no more requests waiting than there are places left.

        So one user alone gets half of the places, two get a third each, and the rest is there for newcomers (dynamic
        thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
        """
        waiting = self._waiting()
        of_user = 0 if user is None else sum(job.user == user for job in waiting)
        if of_user < self._capacity - len(self._streams):
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
        if sampling.max_tokens > room > 0 and fills_context:
            return replace(sampling, max_tokens=min(sampling.max_tokens, room))
        if sampling.max_tokens > room:
            raise RequestError(
                f"The messages have {prompt_tokens} tokens and max_tokens is {sampling.max_tokens}, but together they"
                f" may be {most} tokens at most; shorten the messages or ask for less.",
                kind="too_long",
                param="messages",
            )
        return sampling

    @property
    def model_names(self) -> tuple[str, ...]:
        """What requests may name: the base first, then the versions in the order of loading."""
        return (self._base.name, *self._adapters)

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Load the version folder `folder` beside the others; it can be asked for when this returns.

        The same folder under the same name again changes nothing.

        Raises:
            ModelError: the manifest does not match, the adapter does not fit, or its canary fails. Nothing changed.
        """
        check_name(name)
        async with self._loading:
            # Here, so that importing PEFT does not hold up the model's thread.
            await asyncio.to_thread(importlib.import_module, "peft")
            content_hash = await asyncio.to_thread(verify, folder)
            if name in self._adapters:
                if self._adapters[name][1] == content_hash:
                    return
                raise ModelError(f"{name} is loaded already, with other weights; unload it first or use a new name.")
            if name == self._base.name:
                raise ModelError(f"{name} is the base model's name; give the adapter another.")
            prompt = self._base.template.encode(_CANARY_PROMPT)
            loading = self._worker.call(lambda scheduler: scheduler.adapters.load(folder, prompt))
            self._adapters[name] = (await asyncio.wrap_future(loading), content_hash)

    def unload_adapter(self, name: str) -> None:
        """Forget a version: no new requests for it, while those that run are finished.

        Raises:
            RequestError: there is no such version (status 404).
        """
        if name not in self._adapters:
            raise RequestError(f"There is no adapter {name!r} here.", status=404)
        adapter, _ = self._adapters.pop(name)
        self._worker.call(lambda scheduler: scheduler.adapters.retired.add(adapter))

    async def look_for_watermark(self, text: str) -> Detection:
        """What a text shows of a watermark: any of the engine's.

        Raises:
            RequestError: the engine marks nothing.
        """
        if not self._watermarks:
            raise RequestError(
                "This server marks no texts: start it with --watermark-key.", status=HTTPStatus.NOT_FOUND
            )

        def look(template: ChatTemplate) -> Detection:
            ids = template.plain(text)
            return strongest([mark.look_for(ids) for mark in self._watermarks])

        return await self._read_long(look)

    def _deliver(self, progress: Sequence[JobProgress]) -> None:
        now = asyncio.get_running_loop().time()
        pause_seconds = len(self._streams) / _PIECES_PER_SECOND
        for step in progress:
            if stream := self._streams.get(step.job):
                stream.take(step, now=now, pause_seconds=pause_seconds)
                if step.is_last:
                    del self._streams[step.job]
                    self._finish_rate.finish(now)
        if not self._streams:
            self._is_idle.set()

    def _expire(self, job: Job, seconds: float) -> None:
        """End an answer whose time is over; its row is free before the next step."""
        job.is_cancelled = True
        error = DeadlineExceeded(f"The answer was not complete within {seconds:g} s; allow more time or ask for less.")
        self._deliver([JobProgress(job, error=error, is_last=True)])

    def _fail_all(self) -> None:
        """The thread has ended. Called on the loop, so no request can slip in between the end and this."""
        self.ended.set()
        self._worker.fail_calls()
        error = EngineUnavailable("The engine stopped before the answer was complete; ask again.")
        self._deliver([JobProgress(job, error=error, is_last=True) for job in self._streams])


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, for so long at most; whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


@dataclass(frozen=True, slots=True)
class Piece:
    """More of one of the texts of an answer."""

    number: int
    text: str
    finish_reason: FinishReason | None
    """Why this text ends, with its last piece."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of its tokens, where they are asked for."""


class TextStream:
    """One answer being written. Iterate `pieces`; `cancel` when nobody wants the rest."""

    def __init__(self, job: Job, version: str) -> None:
        self.version = version
        self.prompt_tokens = len(job.prompt)
        self.completion_tokens = 0
        """Those of all texts that were written."""
        self.finish_reasons: dict[int, FinishReason] = {}
        """Of the texts that are finished, by their numbers."""
        self.lengths: Counter[int] = Counter()
        """How many tokens each text has."""
        self.job = job
        self.timer: asyncio.TimerHandle | None = None
        """What will end it, if it has a deadline."""
        self.first_text_seconds: float | None = None
        """From submission to the first text; None if there was none."""
        self._submitted_at = asyncio.get_running_loop().time()
        self.started = asyncio.Event()
        """Set when it has a row, or is over."""
        self.readable = asyncio.Event()
        """Set when there is text to be read, or the end."""
        self._is_over = False
        self._error: EngineError | None = None
        self._unread: dict[int, list[str]] = {}
        self._logprobs: dict[int, list[TokenLogprob]] = {}
        """Of the tokens of the unread pieces and of those that have brought no text yet."""
        self._woken_at = 0.0
        self._progress_at = 0.0

    @property
    def is_failed(self) -> bool:
        """Whether it ended with an error."""
        return self._error is not None

    @property
    def finish_reason(self) -> FinishReason | Literal["cancelled"] | None:
        """Why the first text ended; None as long as it is written, and where it failed."""
        is_cancelled = self._is_over and not self.is_failed
        return self.finish_reasons.get(0, "cancelled" if is_cancelled else None)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The texts in pieces, as they come; several rounds in one piece when the reader is slower.

        Raises:
            EngineError: the engine stopped, the model failed, its time was over, or nothing came for
                `SILENCE_SECONDS`.
        """
        is_over = False
        while not is_over:
            progress_at = self._progress_at
            # Of spare texts none is to be read before it is finished, but there is progress.
            while not await within(SILENCE_SECONDS, self.readable):
                if self._progress_at == progress_at:
                    self.cancel()
                    raise EngineUnavailable("The engine has been silent for too long; ask again later.")
                progress_at = self._progress_at
            self.readable.clear()
            is_over = self._is_over
            unread, self._unread = self._unread, {}
            for number, pieces in unread.items():
                logprobs = tuple(self._logprobs.pop(number, ()))
                yield Piece(number, "".join(pieces), self.finish_reasons.get(number), logprobs)
        if self._error is not None:
            raise self._error

    async def whole(self) -> list[WrittenText]:
        """All texts that were finished, in their order; raises as `pieces` does."""
        texts: dict[int, str] = {}
        logprobs: dict[int, tuple[TokenLogprob, ...]] = {}
        async for piece in self.pieces():
            texts[piece.number] = texts.get(piece.number, "") + piece.text
            logprobs[piece.number] = logprobs.get(piece.number, ()) + piece.logprobs
        return [
            WrittenText(without_thoughts(texts[number]), reason, self.lengths[number], logprobs[number])
            for number, reason in sorted(self.finish_reasons.items())
        ]

    def cancel(self) -> None:
        """Free the rows within a step; a finished answer stays as it is."""
        self.job.is_cancelled = True

    def take(self, progress: JobProgress, *, now: float, pause_seconds: float) -> None:
        """Note what a round brought; wake the reader once `pause_seconds` have passed since the last piece."""
        self.started.set()
        self._progress_at = now
        self.completion_tokens += progress.tokens
        self.lengths[progress.number] += progress.tokens
        self._is_over, self._error = progress.is_last, progress.error
        if progress.is_last and self.timer is not None:
            self.timer.cancel()
        if progress.logprob is not None:
            self._logprobs.setdefault(progress.number, []).append(progress.logprob)
        if progress.finish_reason is not None:
            self.finish_reasons[progress.number] = progress.finish_reason
        if progress.text or progress.finish_reason is not None:
            self._unread.setdefault(progress.number, []).append(progress.text)
        if progress.text and self.first_text_seconds is None:
            self.first_text_seconds = now - self._submitted_at
        if (self._unread and now >= self._woken_at + pause_seconds) or progress.is_last:
            self._woken_at = now
            self.readable.set()
