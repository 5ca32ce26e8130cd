"""One generation from its present state to its last: placed, written, delivered, or failed with a sentence.

The placeholder is sent and its id committed before a word is written; the text is committed before it is shown;
content is only ever shown by editing. So a process that dies anywhere leaves at most a second placeholder behind,
never a second answer.
"""

import asyncio
import contextlib
import logging
import math
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.client import NOT_FOUND
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from bot.common.errors import DeliveryError, NotNow, Refusal
from bot.common.i18n import say
from bot.common.kinds import Kinds, language_of_topic
from bot.common.metrics import BotMetrics
from bot.common.settings import DEFAULT_LABEL
from bot.common.text import TELEGRAM_LIMIT, sanitize, truncate
from bot.generation.continuing import stream_to_its_end
from bot.generation.finishing import finish_all
from bot.generation.preferences import Choices, read_choices
from bot.learning.preference_sync import PreferenceSync
from bot.messaging.messenger import (
    Address,
    Keyboard,
    Messenger,
    Renderer,
    Urgency,
    rating_buttons,
    stop_button,
    with_footer,
    with_retries,
)
from bot.moderation.labels import without_labels
from bot.moderation.text_checks import CopyCheck, SafetyCheck
from bot.serving.version_router import VersionRouter
from engine.api.types import Message, Reply, WrittenText
from engine.errors import (
    AnswerBroken,
    AnswerFailed,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    ModelError,
    RequestError,
)
from engine.safety.near_copy import fingerprint
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import generations, ratings

logger = logging.getLogger(__name__)

OWN_ENGINE_REQUESTS = 256
"""Open at one time to an engine of our own, whose queue is fair and has room for 320 (decision 28)."""
OTHER_ENGINE_REQUESTS = 64
"""Open at one time to a server that may answer first come, first served, or one at a time without a word meanwhile."""
ENGINE_PATIENCE_SECONDS = 600.0
"""A prompt waits this long for an engine that is away, counted anew whenever a busy one asks it to wait, then ends with
a sentence."""
BUSY_PATIENCE_SECONDS = 3600.0
"""And this long in all, once the engine is asked."""

FIRST_WORDS_SECONDS = 0.5
"""So long after the placeholder the first words are shown, or as soon after that as there are some."""
PRIVATE_INTERVAL_SECONDS = 1.0
GROUP_INTERVAL_SECONDS = 4.0
PATIENCE_SECONDS = 3.0
"""Nobody wants to read that they have to wait when they hardly do."""
NEWS_INTERVALS = 10
"""So many intervals lie between two words on how long it may still be."""

Show = Callable[[str], None]
"""Takes all of a text so far; "" when it is discarded and another one begins."""

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 8.0
_TRIES = 3
_MOST_BROKEN = 3
"""After so many answers that broke off, what has come of the longest is the text; without any, it is given up."""
_MOST_FAULTS = 2
"""A text with a fault is written once more; then it is refused."""
_MOST_TRIES: Mapping[type[EngineError], int] = {AnswerFailed: 1, AnswerBroken: _MOST_BROKEN, RequestError: 3}
"""So often a text is asked for again: our engine fails at the same request again, for its seed is the same."""
FAILURES = (RequestError, EngineUnavailable, EngineBusy, ModelError, Refusal)
"""Why there is no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPipeline:
    """Produces generations, each by one call of `produce`. Texts are found again by marks under `fingerprint_key`."""

    db: Database
    messenger: Messenger
    router: VersionRouter
    requests: "EngineRequests"
    preference_sync: PreferenceSync
    kinds: Kinds
    renderer: Renderer
    safety: SafetyCheck
    copies: CopyCheck
    fingerprint_key: bytes
    metrics: BotMetrics
    answer_seconds: float
    """So long an answer may take for the sake of having texts to choose from."""

    async def produce(self, generation: Generation, choices: Choices) -> bool:
        """Take a generation from its present state to delivered; False: it failed, with a sentence, or was stopped."""
        try:
            message_id = await self._place(generation)
            written = None if message_id is None else await self._written(generation, choices, message_id)
            if message_id is None or written is None:
                return False  # stopped or forgotten meanwhile
            await self._edit_in(written, choices, message_id)
            await self._end(generation, delivered=True)
        except FAILURES as error:
            await self.fail(generation, _explain(generation.id, error))
        except DeliveryError as error:
            logger.warning("generation %d cannot be shown: %s", generation.id, error)
            await self._end(generation, delivered=False)
        else:
            return True
        return False

    async def write_offer(self, offer: Generation, choices: Choices) -> Refusal | None:
        """Write and commit a text that is in no chat yet, without patience; why not, where it cannot be written now."""
        try:
            await self._commit(await self._write(offer, choices, lambda _: None, Wait(), patience=0.0))
        except FAILURES as error:
            await self._end(offer, delivered=False)
            return Refusal(_explain(offer.id, error))
        return None

    async def _place(self, generation: Generation) -> int | None:
        """The id of the message that will show the generation, sending the placeholder if there is none yet.

        None: nobody waits for it any more.
        """
        to = generation.delivery
        if to.message_id is not None:
            return to.message_id
        kind = self.kinds.named(generation.kind)
        address = Address(chat_id=to.chat_id, reply_to=to.reply_to, thread_id=to.thread_id)
        self.metrics.overhead.observe((datetime.now(UTC) - generation.created_at).total_seconds())
        message_id = await with_retries(
            lambda: self.messenger.send(address, f"{kind.emoji} …", stop_button(generation)),
            on_unknown=self.metrics.unknown_sends.inc,
        )
        if await ratings.record_placeholder(self.db, generation.id, message_id=message_id):
            return message_id
        await self._delete(to.chat_id, message_id)
        return None

    async def _written(self, generation: Generation, choices: Choices, message_id: int) -> Generation | None:
        """The generation with its text; None: nobody waits for it any more."""
        if generation.text is not None:
            return generation
        to, wait = generation.delivery, Wait()

        def news() -> str:
            ahead = self.requests.ahead_of(wait)
            return "" if ahead is None else say(to.language, "queue-ahead", ahead=ahead)

        buttons, may_show = stop_button(generation), self.safety.may_show
        async with Preview(
            self.messenger,
            to.chat_id,
            message_id,
            buttons,
            may_show=may_show,
            meanwhile=news,
            label=self.renderer.label,
        ) as preview:
            written = await self._write(generation, choices, preview.show, wait)
        if await self._commit(written):
            return written
        await self._delete(to.chat_id, message_id)
        return None

    async def _commit(self, written: Generation) -> bool:
        """Record a text before anybody sees it; False: nobody waits for it any more."""
        text, version = written.text, written.version
        assert text is not None and version is not None, "it has just been written"
        return await generations.write_text(
            self.db, written.id, text=text, version=version, best_of=written.best_of,
            finish_reason=written.finish_reason, hashes=fingerprint(text, self.fingerprint_key),
        )  # fmt: skip

    async def _write(
        self,
        generation: Generation,
        choices: Choices,
        show: Show,
        wait: "Wait",
        *,
        patience: float = ENGINE_PATIENCE_SECONDS,
    ) -> Generation:
        """The generation with a text from the engine, however often that has to be asked."""
        clock = asyncio.get_running_loop().time
        async with self.requests.request_for(generation.author, wait) as user:
            began, attempts = clock(), _Attempts()
            while True:
                try:
                    async with self.requests.turn(wait):
                        return await self._ask_engine(generation, choices, show, wait, user, attempts.given)
                except (EngineBusy, EngineUnavailable, RequestError) as error:
                    trouble = error
                is_begun, wait.ahead = wait.ahead is None, None
                pause = attempts.pause_after(trouble)
                if isinstance(trouble, EngineBusy):
                    wait.asked_until = clock() + pause
                elif isinstance(trouble, AnswerBroken) and is_begun and not await self.router.engine.is_ready():
                    self.requests.engine_died(wait)
                    attempts.made[AnswerBroken] -= 1  # which says nothing of what it answers when it lives
                elif isinstance(trouble, RequestError) and not await self.router.ensure_loaded():
                    attempts.made[RequestError] -= 1  # it is away, and may have the version when it is back
                patience_ends = max(began, wait.asked_until) + patience
                if clock() + pause > min(patience_ends, began + BUSY_PATIENCE_SECONDS):
                    raise trouble
                await asyncio.sleep(pause)

    async def _ask_engine(
        self, generation: Generation, choices: Choices, show: Show, wait: "Wait", user: str, given: Reply | None
    ) -> Generation:
        """Let the model write, showing the first text as it grows, and choose; faulty ones are written again. What is
        `given` is in the place of the first answer.
        """

        def queued(ahead: int) -> None:
            wait.ahead, wait.asked_until = ahead, asyncio.get_running_loop().time()

        version = self.router.version_for(generation.chat, generation.seed)
        kind = self.kinds.named(generation.kind)
        messages = [Message(turn.role, turn.content) for turn in generation.messages]
        language = language_of_topic(messages[-1].content)
        n = 1 if kind.calls > 1 else self.requests.share_of(self.preference_sync.texts_for(generation))
        faults, has_written_again = 0, given is not None  # what is given has come of many tries
        for attempt in range(_TRIES):
            growing, reply, given = "", given, None
            show(growing)
            sampling = choices.sampling(kind, generation.seed + attempt)
            ask = partial(
                self.router.engine.stream, model=version, user=user, n=n, spare_seconds=self.answer_seconds,
                on_queued=queued,
            )  # fmt: skip
            stream = stream_to_its_end(ask, messages, sampling, calls=kind.calls, language=language)
            async with aclosing(stream) as pieces:
                while reply is None:
                    piece = await anext(pieces)
                    wait.ahead = None
                    if isinstance(piece, Reply):
                        reply = piece
                        self.metrics.tokens.inc(piece.completion_tokens)
                    else:
                        growing += piece
                        show(growing)
            finished = await asyncio.to_thread(
                finish_all, reply, messages=messages, kind=kind, language=language, label=self.renderer.label
            )
            usable = [place for place, each in enumerate(finished) if not each.faults]
            if not usable and not has_written_again:
                has_written_again = True
                continue
            places = usable or [place for place, each in enumerate(finished) if each.text]
            if not places:
                continue
            texts, quality = zip(*((finished[place].text, finished[place].quality) for place in places), strict=True)
            likelihood, own_taste = [finished[place].likelihood for place in places], choices.own_taste == "on"
            place = await self.preference_sync.choose(
                generation, texts, quality, likelihood=likelihood, own_taste=own_taste
            )
            chosen = places[place]
            text = finished[chosen].text
            fault = await self.safety.fault(generation, text) or await self.copies.fault(generation, text)
            if fault is None:
                self.metrics.compared.inc(len(places) > 1)
                return replace(
                    generation, text=text, version=version, best_of=len(reply.texts),
                    finish_reason=reply.texts[chosen].finish_reason,
                )  # fmt: skip
            faults += 1
            if faults == _MOST_FAULTS:
                raise Refusal(fault)
        raise ModelError(f"The model {version} writes nothing.")

    async def _messages_for(self, generation: Generation, pages: int) -> tuple[int, ...]:
        """The messages for so many pages of a text, sending those that there are not yet, empty.

        Each is committed before another is sent, and shows words only afterwards, as the first one does. None where
        nobody waits for the text any more.
        """
        while (current := await generations.by_id(self.db, generation.id)) is not None and current.text is not None:
            to = current.delivery
            if len(to.all_messages) >= pages:
                return to.all_messages[:pages]
            address = Address(chat_id=to.chat_id, reply_to=to.message_id, thread_id=to.thread_id)
            message_id = await with_retries(
                partial(self.messenger.send, address, "…", stop_button(generation)),
                on_unknown=self.metrics.unknown_sends.inc,
            )
            if not await generations.add_further_message(
                self.db, generation.id, chat_id=to.chat_id, message_id=message_id
            ):
                await self._delete(to.chat_id, message_id)
        return ()

    async def show_again(self, generation: Generation) -> None:
        """Put a text back that was hidden.

        Raises:
            DeliveryError: its message is gone.
        """
        message_id = generation.delivery.message_id
        if message_id is not None and generation.text is not None:
            choices = await read_choices(self.db, generation.author, generation.chat)
            await self._edit_in(generation, choices, message_id)

    async def _edit_in(self, generation: Generation, choices: Choices, message_id: int) -> None:
        """Edit the whole answer in: a long text over several messages, and in the last, footer and buttons."""
        pages, footer = self.renderer.pages(generation, has_details=choices.footer == "full")
        messages = (message_id,) if len(pages) == 1 else await self._messages_for(generation, len(pages))
        if not messages:
            return
        buttons = rating_buttons(generation, await ratings.tally(self.db, generation.id))
        *before, last = zip(messages, pages, strict=True)
        for number, page in before:
            await with_retries(partial(self._show, generation, number, page))
        await with_retries(partial(self._show, generation, *last, footer, buttons))

    async def _show(
        self, generation: Generation, message_id: int, page: str, footer: str = "", buttons: Keyboard = ()
    ) -> None:
        chat_id = generation.delivery.chat_id
        if self.kinds.named(generation.kind).is_markdown:
            await self.messenger.edit_markdown(chat_id, message_id, page, footer, buttons)
        else:
            await self.messenger.edit(chat_id, message_id, with_footer(page, footer), buttons)

    async def fail(self, generation: Generation, sentence: str = "error") -> None:
        """End a generation without a text, with a sentence in its place."""
        current = await generations.by_id(self.db, generation.id)
        to = (current or generation).delivery
        if to.message_id is not None:
            await self._say_instead(to.chat_id, to.message_id, say(to.language, sentence))
        await self._end(generation, delivered=False)

    async def say_stopped(self, generation: Generation, message_id: int) -> None:
        """End a generation that its author has stopped."""
        await self._end(generation, delivered=False)
        to = generation.delivery
        await self._say_instead(to.chat_id, message_id, say(to.language, "stopped"))

    async def remove_orphan(self, chat_id: int, message_id: int) -> None:
        """Take away a placeholder that a crash has doubled."""
        self.metrics.orphans.inc()
        await self._delete(chat_id, message_id)

    async def _say_instead(self, chat_id: int, message_id: int, words: str) -> None:
        try:
            await with_retries(lambda: self.messenger.edit(chat_id, message_id, words))
        except DeliveryError as error:
            logger.warning("a sentence in place of a text cannot be shown: %s", error)

    async def _delete(self, chat_id: int, message_id: int) -> None:
        with contextlib.suppress(DeliveryError):
            await with_retries(lambda: self.messenger.delete(chat_id, message_id))

    async def _end(self, generation: Generation, *, delivered: bool) -> None:
        (self.metrics.delivered if delivered else self.metrics.failed).inc()
        await generations.end(self.db, generation.id, delivered=delivered, at=datetime.now(UTC))


def _explain(generation: int, error: Exception) -> str:
    """The id of the sentence that says why there is no text; noted in the log as well."""
    if isinstance(error, Refusal):
        logger.info("generation %d is withheld: %s", generation, error.text)
        return error.text
    kind = getattr(error, "kind", "")
    logger.warning("generation %d failed: %s", generation, f"{type(error).__name__} {kind}".strip())
    if isinstance(error, RequestError):
        return f"failed-{error.kind.replace('_', '-')}"
    told = {AnswerFailed: "failed-answer", AnswerBroken: "failed-broken", EngineBusy: "failed-busy"}
    return told.get(type(error), "failed-engine")


class _Attempts:
    """How often a text was asked for in vain, and what came of it all the same."""

    def __init__(self) -> None:
        self.made: Counter[type[EngineError]] = Counter()
        self._longest = ""

    @property
    def given(self) -> Reply | None:
        """What is to be the text, for more of it does not come."""
        if not self._longest.strip() or self.made[AnswerBroken] < _MOST_BROKEN:
            return None
        return Reply((WrittenText(self._longest, "length"),), "")

    def pause_after(self, error: EngineError) -> float:
        """How long to wait before the engine is asked again, in seconds: longer each time, and not everybody at once.

        Raises:
            EngineError: this one, for it is of no use to ask again.
        """
        kind = type(error)
        is_hopeless = isinstance(error, RequestError) and error.status != NOT_FOUND
        if is_hopeless or self.made[kind] >= _MOST_TRIES.get(kind, math.inf):
            raise error
        self.made[kind] += 1
        if isinstance(error, AnswerBroken):
            self._longest = max(self._longest, error.text, key=len)
        pause = min(_PAUSE_SECONDS * 2.0 ** (self.made.total() - 1), _LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)
        return max(pause, error.retry_after_seconds) if isinstance(error, EngineBusy) else pause


@dataclass(slots=True, eq=False)
class Wait:
    """How long a text may have to wait."""

    is_asked: bool = False
    """Whether the engine is asked for it, so that the engine's queue is the one it waits in."""
    ahead: int | None = None
    """How many are before it in the engine's queue; None: it waits no more, or nobody knows."""
    asked_until: float = float("-inf")
    """Until when, on the loop's clock, the engine has last asked it to wait."""
    is_tried: bool = False
    """Whether it is the one suspect that is asked for now."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Person:
    requests: asyncio.Semaphore
    name: str = field(default_factory=lambda: secrets.token_hex(8))


class EngineRequests:
    """Bounds the open requests at the engine: `most` in all, a quarter of them for one person.

    The engine's own queue is the one that orders people. This bound keeps connections few, and servers that serve first
    come, first served from being filled by one person.

    When the engine dies, any text that it was writing may be the reason, and would end it again. So from then on these
    are asked for one at a time, until the engine has died over one of them: that one is given up, the others are free.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._suspects: set[Wait] = set()
        self._trial = asyncio.Lock()
        self._open = asyncio.Semaphore(most)
        self._people: WeakValueDictionary[str, _Person] = WeakValueDictionary()
        self._waits: set[Wait] = set()

    @asynccontextmanager
    async def request_for(self, author: str, wait: Wait) -> AsyncIterator[str]:
        """Wait until the engine may be asked; gives the name that the engine knows the person by.

        It is made up for as long as the person has anything coming: enough to be fair to them, too little to recognise
        them by.
        """
        person = self._people.setdefault(author, _Person(asyncio.Semaphore(max(self._most // 4, 1))))
        self._waits.add(wait)
        try:
            async with person.requests, self._open:
                wait.is_asked = True
                yield person.name
        finally:
            self._waits.discard(wait)
            self._suspects.discard(wait)

    @asynccontextmanager
    async def turn(self, wait: Wait) -> AsyncIterator[None]:
        """Wait until this text may be asked for: at once, or if the engine may have died of it, after other such."""
        wait.is_tried = False
        if wait in self._suspects:
            async with self._trial:
                if wait in self._suspects:
                    wait.is_tried, wait.asked_until = True, asyncio.get_running_loop().time()
                    yield
                    self._suspects.discard(wait)
                    return
        yield

    def engine_died(self, wait: Wait) -> None:
        """The engine has died while it wrote this text.

        Raises:
            AnswerFailed: it did so before, and this time of those texts only this one was asked for.
        """
        if wait.is_tried:
            self._suspects.clear()
            raise AnswerFailed("The engine has died twice over this text.")
        self._suspects.add(wait)

    def share_of(self, texts: int) -> int:
        """How many of so many texts may be asked for at once, where all who are being answered get alike many."""
        asking = sum(wait.is_asked for wait in self._waits)
        return max(1, min(texts, self._most // max(asking, 1)))

    def ahead_of(self, wait: Wait) -> int | None:
        """How many texts get their turn before this one, at most; None where nobody knows."""
        if wait.is_asked:
            return wait.ahead
        return sum(not other.is_asked or other.ahead is not None for other in self._waits) - 1


@dataclass(slots=True, eq=False)
class Preview:
    """A growing text, or how long it may be until there is one, shown by edits, seldom enough for any chat.

    Use as `async with Preview(…) as preview`, then `preview.show(text)` whenever the text has grown. What `may_show`
    refuses stays unseen. As long as there is no text, `meanwhile` is asked for words to show in its place; "" is none.

    At most one edit is under way; what arrives meanwhile is merged into the next. A preview that cannot be shown, or
    finds no room among more urgent calls, is dropped, since the final text follows. Groups get fewer edits than private
    chats, because Telegram counts 20 messages a minute in a group, edits included.
    """

    messenger: Messenger
    chat_id: int
    message_id: int
    buttons: Keyboard = ()
    _: KW_ONLY
    may_show: Callable[[str], bool] = lambda _text: True
    meanwhile: Callable[[], str] = str
    label: str = DEFAULT_LABEL
    """What the text may not say of itself."""
    _text: str = field(default="", init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _is_over: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_showing())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None, "entered before it is left"
        self._is_over.set()
        if error is not None:
            self._task.cancel()
        # Otherwise an edit under way is waited for: Telegram might apply it after the final one.
        await asyncio.gather(self._task, return_exceptions=True)

    def show(self, text: str) -> None:
        """A `Show`."""
        self._text = text

    async def _keep_showing(self) -> None:
        clock = asyncio.get_running_loop().time
        interval = PRIVATE_INTERVAL_SECONDS if self.chat_id > 0 else GROUP_INTERVAL_SECONDS
        shown, has_words, pause, news_at = "", False, FIRST_WORDS_SECONDS, clock() + PATIENCE_SECONDS
        while not await self._over_within(pause):
            pause = interval if has_words else FIRST_WORDS_SECONDS
            if text := without_labels(sanitize(self._text), self.label, is_growing=True):
                if not self.may_show(text):
                    continue
                words = truncate(text, TELEGRAM_LIMIT - 2) + " …"
            elif clock() >= news_at:
                words, news_at = self.meanwhile(), clock() + NEWS_INTERVALS * interval
            else:
                continue
            if words in ("", shown):
                continue
            try:
                await self.messenger.edit(self.chat_id, self.message_id, words, self.buttons, urgency=Urgency.PREVIEW)
                shown, has_words = words, bool(text)
                pause = interval
            except NotNow as error:
                pause = max(error.seconds, interval)
            except DeliveryError:
                return

    async def _over_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._is_over.wait()
        except TimeoutError:
            return False
