"""The line before the engine: so many texts are written at one time, and the turns go round among people.

Knows people by pseudonym. The engine is told another name, made up for as long as somebody has anything in the line or
in the engine: enough to be fair to them, too little to recognise them by. Knows nothing of messages or models.

What the writing of a text comes to: written, withheld, no longer wanted, or failed. Knows no message.

The pipeline: one generation from its present state to its last.

The placeholder is sent and its id committed before a word is written; the text is committed before it is shown;
content is only ever shown by editing. So a process that dies anywhere leaves at most a second placeholder behind,
never a second answer. Knows how a generation looks; whom it is for is in its `Delivery`.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import BAD_REQUEST, NOT_FOUND, REQUEST_ENTITY_TOO_LARGE

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.kinds import MIN_P, TOP_P
from bot.common.metrics import BotMetrics
from bot.common.text import sanitize
from bot.generation.preferences import choices_of, temperature_of
from bot.learning.preference_sync import PreferenceSync
from bot.messaging.messenger import Address, Messenger, with_retries
from bot.messaging.preview import Preview, Show
from bot.messaging.render import Renderer, rating_buttons, stop_button
from bot.moderation.text_checks import Rules
from bot.serving.version_router import VersionRouter
from engine.api.fair_queue import QUANTUM, FairQueue, ahead
from engine.api.types import Message, Reply, Sampling
from engine.errors import EngineBusy, EngineUnavailable, ModelError, RequestError
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import generations, ratings


class Ticket:
    """One text's place, from the line to its last word."""

    def __init__(self, person: str, name: str) -> None:
        self.person = person
        self.name = name
        """What the engine calls the person."""
        self.turn = asyncio.Event()
        """Set when the engine may be asked."""
        self.queued: int | None = None
        """How many are before it in the engine, as far as the engine has said."""
        self.told_at = float("-inf")
        """Until when, on the loop's clock, the engine has last asked it to wait."""

    def wait(self, *, queued: int | None = None, seconds: float = 0.0) -> None:
        """The engine is well and asks for patience."""
        self.queued = queued
        self.told_at = asyncio.get_running_loop().time() + seconds


class Line:
    """At most `places` texts have their turn at one time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._queue: FairQueue[Ticket] = FairQueue()
        self._waiting: dict[Ticket, None] = {}
        self._inside: set[Ticket] = set()

    @contextmanager
    def place(self, person: str) -> Iterator[Ticket]:
        """A place for one text of a person, in line until its `turn`, and free again after the block."""
        name = next((ticket.name for ticket in (*self._inside, *self._waiting) if ticket.person == person), None)
        ticket = Ticket(person, name or secrets.token_hex(8))
        self._waiting[ticket] = None
        self._queue.add(ticket, person=person, cost=QUANTUM)  # so that each visit is one text
        self._move_up()
        try:
            yield ticket
        finally:
            if ticket in self._waiting:
                del self._waiting[ticket]
                self._queue.remove(lambda other: other is ticket)
            self._inside.discard(ticket)
            self._move_up()

    def ahead_of(self, ticket: Ticket) -> int | None:
        """How many get their turn before it, here and in the engine, at most; None where nobody knows."""
        if ticket not in self._waiting:
            return ticket.queued
        waiting = list(self._waiting)
        in_engine = sum(other.queued is not None for other in self._inside)
        return in_engine + ahead([other.person for other in waiting], waiting.index(ticket))

    def _move_up(self) -> None:
        while len(self._inside) < self._places and self._queue.peek() is not None:
            ticket = self._queue.pop()
            del self._waiting[ticket]
            self._inside.add(ticket)
            ticket.turn.set()


logger = logging.getLogger(__name__)

_TOO_LONG = frozenset({BAD_REQUEST, REQUEST_ENTITY_TOO_LARGE})
"""How a server refuses what we ask for, which is always well-formed; other refusals are about keys and the like."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, who wrote it, and from how many it was chosen."""

    text: str
    version: str
    best_of: int


class Withheld(Exception):
    """No text of this generation may be shown; `fault` is the id of the sentence that says why."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class Unwanted(Exception):
    """Nobody waits for this generation any more; `message_id` is its placeholder."""

    def __init__(self, message_id: int) -> None:
        super().__init__(message_id)
        self.message_id = message_id


FAILURES = (RequestError, EngineUnavailable, ModelError, Withheld)
"""Why there is no text."""


def why(generation: int, error: Exception) -> str:
    """The id of the sentence that says why there is no text; noted in the log as well."""
    if isinstance(error, Withheld):
        logger.info("generation %d is withheld: %s", generation, error.fault)
        return error.fault
    logger.warning("generation %d failed: %s", generation, type(error).__name__)
    is_too_long = isinstance(error, RequestError) and error.status in _TOO_LONG
    return "failed-too-long" if is_too_long else "failed-engine"


MAX_AT_ONCE = 64
"""Texts that the engine is asked for at one time, as many as it writes at once unless told otherwise; the others wait
in line."""
ENGINE_PATIENCE_SECONDS = 600.0
"""A prompt waits this long for an engine that is away, counted anew whenever a busy one asks it to wait, then ends with
a sentence."""
BUSY_PATIENCE_SECONDS = 3600.0
"""And this long in all, once it is its turn."""

_PAUSE_SECONDS = 1.0
_TRIES = 3
_MOST_FAULTS = 2
"""A text with a fault is written once more; then it is refused."""


class GenerationPipeline:
    """Produces generations, each by one call of `produce`."""

    def __init__(
        self,
        *,
        db: Database,
        messenger: Messenger,
        router: VersionRouter,
        preference_sync: PreferenceSync,
        rules: Rules,
        metrics: BotMetrics,
    ) -> None:
        self._db = db
        self._messenger = messenger
        self._router = router
        self._preference_sync = preference_sync
        self._kinds = rules.kinds
        self._renderer = Renderer(rules.kinds, rules.label)
        self._inspection = rules.inspection
        self._fingerprint_of = rules.fingerprint_of
        self._metrics = metrics
        self._line = Line(MAX_AT_ONCE)

    async def produce(self, generation: Generation) -> bool:
        """Take a generation from where it stands to delivered, or to failed with a sentence in the chat (False)."""
        try:
            message_id = await self._placed(generation)
            written = await self._written(generation, message_id)
            await self._edit_in(generation, message_id, written)
            await self._end(generation, delivered=True)
        except Unwanted as stray:
            await self._delete(generation.delivery.chat_id, stray.message_id)  # stopped or forgotten meanwhile
        except FAILURES as error:
            await self.fail(generation, why(generation.id, error))
        except DeliveryError as error:
            logger.warning("generation %d cannot be shown: %s", generation.id, error)
            await self._end(generation, delivered=False)
        else:
            return True
        return False

    async def take(self, generation: Generation) -> Refusal | None:
        """Write and commit a text that is in no chat yet, without patience; why not, where it cannot be written now."""
        try:
            with self._line.place(generation.author) as ticket:
                await ticket.turn.wait()
                await self._commit(generation, await self._composed(generation, ticket, lambda _: None, patience=0.0))
        except FAILURES as error:
            await self._end(generation, delivered=False)
            return Refusal(why(generation.id, error))
        return None

    async def _placed(self, generation: Generation) -> int:
        """The id of the message that will show the generation, sending the placeholder if none stands yet."""
        to = generation.delivery
        if to.message_id is not None:
            return to.message_id
        kind = self._kinds.by_name.get(generation.kind, self._kinds.default)
        address = Address(chat_id=to.chat_id, reply_to=to.reply_to, thread_id=to.thread_id)
        self._metrics.overhead.observe((datetime.now(UTC) - generation.created_at).total_seconds())
        message_id = await with_retries(
            lambda: self._messenger.send(address, f"{kind.emoji} …", stop_button(generation)),
            on_unknown=self._metrics.unknown_sends.inc,
        )
        if not await ratings.record_placeholder(self._db, generation.id, message_id=message_id):
            raise Unwanted(message_id)
        return message_id

    async def _written(self, generation: Generation, message_id: int) -> Written:
        """The final text, from the record or from the engine."""
        if generation.text is not None and generation.version is not None:
            return Written(generation.text, generation.version, generation.best_of)
        to = generation.delivery
        async with Preview(
            self._messenger, to.chat_id, message_id, stop_button(generation), may_show=self._inspection.may_show
        ) as preview:
            with self._line.place(generation.author) as ticket:
                preview.meanwhile = lambda: self._place_in_words(ticket, to.language)
                await ticket.turn.wait()
                new = await self._composed(generation, ticket, preview.show)
        if not await self._commit(generation, new):
            raise Unwanted(message_id)
        return new

    async def _commit(self, generation: Generation, new: Written) -> bool:
        """Record a text before anybody sees it; False: nobody waits for it any more."""
        return await generations.write_text(
            self._db, generation.id, text=new.text, version=new.version, best_of=new.best_of,
            marks=self._fingerprint_of(new.text),
        )  # fmt: skip

    def _place_in_words(self, ticket: Ticket, language: str) -> str:
        ahead = self._line.ahead_of(ticket)
        return "" if ahead is None else say(language, "queue-ahead", ahead=ahead)

    async def _composed(
        self, generation: Generation, ticket: Ticket, show: Show, *, patience: float = ENGINE_PATIENCE_SECONDS
    ) -> Written:
        """The text from the engine, however often it has to be asked."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            version = self._router.version_for(generation.chat, generation.seed)
            pause = _PAUSE_SECONDS
            try:
                return await self._compose(generation, version, ticket, show)
            except EngineBusy as error:
                pause = max(error.retry_after_seconds, _PAUSE_SECONDS)
                ticket.wait(seconds=pause)
            except EngineUnavailable:
                ticket.queued = None
            except RequestError as error:
                if error.status != NOT_FOUND:
                    raise
                await self._router.ensure_loaded()
            patience_ends = max(began, ticket.told_at) + patience
            if clock() + pause > min(patience_ends, began + BUSY_PATIENCE_SECONDS):
                raise EngineUnavailable("The engine did not answer in time.")
            await asyncio.sleep(pause)

    async def _compose(self, generation: Generation, version: str, ticket: Ticket, show: Show) -> Written:
        """Let the model write, showing the text as it grows; an empty or faulty one is written again."""
        selection = await self._preference_sync.selection_for(generation)
        temperature = temperature_of(await choices_of(self._db, generation.author, generation.chat))
        kind = self._kinds.by_name.get(generation.kind, self._kinds.default)
        messages = [Message(turn.role, turn.content) for turn in generation.messages]
        faults = 0
        for attempt in range(_TRIES):
            growing = ""
            show(growing)
            sampling = Sampling(
                max_tokens=kind.max_tokens,
                temperature=temperature,
                top_p=TOP_P,
                min_p=MIN_P,
                seed=generation.seed + attempt,
            )
            stream = self._router.engine.stream(
                messages, sampling, model=version, user=ticket.name, selection=selection,
                on_queued=lambda ahead: ticket.wait(queued=ahead),
            )  # fmt: skip
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    ticket.queued = None
                    if isinstance(piece, Reply):
                        written = Written(sanitize(piece.text), version, piece.best_of)
                        self._metrics.tokens.inc(piece.completion_tokens)
                    else:
                        growing += piece
                        show(growing)
            if not written.text:
                continue
            fault = await self._inspection.fault(generation, written.text)
            if fault is None:
                self._metrics.compared.inc(written.best_of > 1)
                return written
            faults += 1
            if faults == _MOST_FAULTS:
                raise Withheld(fault)
        raise ModelError(f"The model {version} writes nothing.")

    async def show_again(self, generation: Generation) -> None:
        """Put a text back that was hidden.

        Raises:
            DeliveryError: its message is gone.
        """
        to = generation.delivery
        if to.message_id is not None and generation.text is not None and generation.version is not None:
            await self._edit_in(
                generation, to.message_id, Written(generation.text, generation.version, generation.best_of)
            )

    async def _edit_in(self, generation: Generation, message_id: int, written: Written) -> None:
        """Edit the whole answer in: text, footer, buttons."""
        to = generation.delivery
        choices = await choices_of(self._db, generation.author, generation.chat)
        has_details = choices["footer"] == "full"
        body, footer = self._renderer.parts(generation.id, written.text, written.version, has_details=has_details)
        tally = await ratings.tally(self._db, generation.id)
        buttons = rating_buttons(generation, tally)
        is_markdown = self._renderer.is_markdown(generation.kind)

        async def show() -> None:
            if is_markdown:
                await self._messenger.edit_markdown(to.chat_id, message_id, body, footer, buttons)
            else:
                await self._messenger.edit(to.chat_id, message_id, f"{body}\n\n{footer}", buttons)

        await with_retries(show)

    async def fail(self, generation: Generation, sentence: str = "error") -> None:
        """End a generation without a text, with a sentence in its place."""
        current = await generations.by_id(self._db, generation.id)
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
        self._metrics.orphans.inc()
        await self._delete(chat_id, message_id)

    async def _say_instead(self, chat_id: int, message_id: int, words: str) -> None:
        try:
            await with_retries(lambda: self._messenger.edit(chat_id, message_id, words))
        except DeliveryError as error:
            logger.warning("a sentence in place of a text cannot be shown: %s", error)

    async def _delete(self, chat_id: int, message_id: int) -> None:
        with contextlib.suppress(DeliveryError):
            await with_retries(lambda: self._messenger.delete(chat_id, message_id))

    async def _end(self, generation: Generation, *, delivered: bool) -> None:
        (self._metrics.delivered if delivered else self._metrics.failed).inc()
        await generations.end(self._db, generation.id, delivered=delivered, at=datetime.now(UTC))
