"""From a prompt to a delivered text: what may be asked, and the task that sees each generation to its end.

A prompt is recorded before anything else happens, and each step is recorded before the next is visible, so that a
restart goes on where the last process stopped: accepted -> placed (the placeholder is sent) -> written (the text is
final) -> delivered.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

from bot.common.errors import Refusal
from bot.common.keys import Pseudonyms
from bot.common.kinds import Kind, language_of_topic
from bot.common.settings import Settings
from bot.common.tasks import cancel
from bot.common.text import beginning, sanitize
from bot.feedback.buttons import RatingButtons
from bot.generation.pipeline import GenerationPipeline
from bot.generation.preferences import DEFAULTS, Choices, read_choices
from bot.moderation.enforcement import Reports
from bot.moderation.text_checks import SafetyCheck
from storage.db.database import Database
from storage.db.errors import LimitReached, StorageError
from storage.db.records import ChatMessage, Delivery, Generation, NewGeneration, PromptSignal
from storage.tables import generations

logger = logging.getLogger(__name__)

ENDED = ("delivered", "failed")

OfferTask = asyncio.Task[Refusal | None]
"""An offer being written; its result is None once the text is there, or why there is none."""

T = TypeVar("T")

_RETRY_SECONDS = 2.0
_TOKEN_BYTES = 9
_MOST_SIBLINGS = 8
"""More texts than one update asks for."""
_OTHER_SEED = 0x2545F491
"""Far from any seed, whose neighbours are taken when a text is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, where, in which message and language, and with which choices; a channel asks as itself."""

    update_id: int
    person_id: int
    chat_id: int
    message_id: int
    language: str
    choices: Choices = DEFAULTS
    thread_id: int | None = None
    is_channel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that is to be summed up, or gone on with."""

    text: str
    is_strangers: bool = False
    """Somebody else wrote it, who has asked for nothing: nothing may be learned from what comes of it."""
    shown_in: int | None = None
    """The message of ours that shows it, whose generation it is then."""


@dataclass(kw_only=True)
class GenerationService:
    """Takes prompts, keeps them, and sees each to its end."""

    db: Database
    pseudonyms: Pseudonyms
    settings: Settings
    pipeline: GenerationPipeline
    safety: SafetyCheck
    rating_buttons: RatingButtons
    reports: Reports
    ask_consent: Callable[[Generation], Awaitable[None]]
    """Awaited with every text that is delivered."""
    _running: dict[int, tuple[str, asyncio.Task[Any]]] = field(default_factory=dict, init=False)
    """By generation: its author, and the task that sees it to its end."""
    _arriving: Counter[str] = field(default_factory=Counter, init=False)
    """By author: texts that have a place and no task yet."""
    _failing: set[int] = field(default_factory=set, init=False)

    async def write(self, request: Request, kind: Kind, topic: str, *, texts: Literal[1, 2] = 1) -> None:
        """Accept a prompt of a kind, for one text, or for two between which people choose.

        Raises:
            Refusal: the topic is empty, too long or unsafe, the person has asked too often, or too many texts come.
        """
        new = self._new(request, kind.name, await self._messages(request, kind, topic))
        if texts == 1:
            await self._accept(new, request.choices)
            return
        async with self._room(new.author, texts=2):
            limit = self.settings.prompts_per_hour
            for generation in await generations.accept_duel(self.db, new, _sibling(new, 0), per_hour=limit):
                self._begin(generation, request.choices)

    async def write_on(self, request: Request, kind: Kind, passage: Passage, *, wish: str = "") -> int:
        """Accept a prompt to do something with a text; returns how many of its characters are read, from its beginning.

        Raises:
            Refusal: as in `write`.
        """
        parent = None
        if passage.shown_in is not None:
            parent = await generations.by_message(self.db, chat_id=request.chat_id, message_id=passage.shown_in)
        if parent is not None and (parent.text is None or not parent.may_be_continued):
            raise Refusal("generation-unknown")
        text = sanitize((parent and parent.text) or passage.text)
        if not text:
            raise Refusal("text-missing", command=kind.name)
        read = beginning(text, kind.most_characters(text))
        if wish:
            wish = await self._checked(wish, kind)
        await self.safety.check_prompt(read)
        asked = request.choices.messages(kind, read, wish=wish)
        messages = tuple(ChatMessage(message.role, message.content) for message in asked)
        new = self._new(request, kind.name, messages, parent=None if parent is None else parent.id)
        await self._accept(replace(new, quotes_stranger=passage.is_strangers), request.choices)
        return len(read)

    async def offer(self, request: Request, kind: Kind, topic: str, *, texts: int) -> Mapping[int, OfferTask]:
        """Begin several texts that are in no chat yet, by number; each counts as a prompt. `request` has no message.

        Raises:
            Refusal: as in `write`.
        """
        home = self.pseudonyms.chat(request.person_id)
        choices = await read_choices(self.db, self.pseudonyms.person(request.person_id), home)
        request = replace(request, choices=choices)
        first = self._new(request, kind.name, await self._messages(request, kind, topic))
        new = [(secrets.token_urlsafe(_TOKEN_BYTES), _sibling(first, place)) for place in range(1, texts + 1)]
        async with self._room(first.author, texts=texts):
            limit = self.settings.prompts_per_hour
            accepted = await generations.accept_inline_results(self.db, new, private_chat=home, per_hour=limit)
            return {offer.id: self._keep(offer, self.pipeline.write_offer(offer, choices)) for offer in accepted}

    async def drop(self, offers: Sequence[int]) -> None:
        """Stop writing offers that nobody waits for any more."""
        for offer in offers:
            await self._abandon(offer)
        await generations.drop_inline_results(self.db, offers, at=datetime.now(UTC))

    async def again(self, request: Request, generation: int) -> None:
        """Accept another text on the prompt of an earlier generation."""
        earlier = await generations.by_message(self.db, chat_id=request.chat_id, message_id=request.message_id)
        if earlier is None or earlier.id != generation or not earlier.messages or not earlier.may_be_continued:
            raise Refusal("generation-unknown")
        new = self._new(request, earlier.kind, earlier.messages, parent=earlier.id, signal="another")
        await self._accept(new, request.choices)

    async def refine(
        self, request: Request, shown_in: int, wanted: Callable[[str], str], *, generation: int | None = None
    ) -> bool:
        """Accept a change to the generation that a message shows; False when the message shows none, or not that one.

        `wanted` says in words what is to change, given the text.
        """
        earlier = await generations.by_message(self.db, chat_id=request.chat_id, message_id=shown_in)
        if earlier is None or earlier.text is None or not earlier.may_be_continued:
            return False
        if generation not in (None, earlier.id):
            return False
        words = await self._checked(wanted(earlier.text), self.settings.kinds.named(earlier.kind))
        thread = (*earlier.messages, ChatMessage("assistant", earlier.text), ChatMessage("user", words))
        new = self._new(request, earlier.kind, thread, parent=earlier.id, signal="refined")
        await self._accept(new, request.choices)
        return True

    async def stop(self, generation_id: int, *, shown_in: int, chat_id: int, person_id: int) -> bool:
        """End a generation that is being written, at its author's request.

        False: that message is a placeholder that a crash has doubled; it was taken away, and the text comes in another.

        Raises:
            Refusal: it is finished, or somebody else's.
        """
        generation = await generations.by_id(self.db, generation_id)
        if generation is None or generation.delivery.chat_id != chat_id:
            raise Refusal("generation-unknown")
        stands_in = generation.delivery.message_id
        is_one_of_its = shown_in in generation.delivery.all_messages
        if not is_one_of_its and (stands_in is not None or generation.state in ENDED):
            await self.pipeline.remove_orphan(chat_id, shown_in)
            return stands_in is None  # then a /cancel has come before we knew the message
        if generation.author != self.pseudonyms.person(person_id):
            raise Refusal("stop-not-yours")
        if generation.state in ENDED:
            raise Refusal("stop-too-late")
        await self._abandon(generation.id)
        await self.pipeline.say_stopped(generation, shown_in)
        return True

    async def cancel(self, chat_id: int, person_id: int) -> int:
        """End every text that is coming for a person in a chat; returns how many."""
        for generation in await self._coming(chat_id, person_id):
            await self._abandon(generation.id)
        stopped = await self._coming(chat_id, person_id)  # others have come to their end meanwhile
        for generation in stopped:
            await self.pipeline.fail(generation, "stopped")
        return len(stopped)

    async def abandon_all_of(self, author: str) -> None:
        """Stop writing for a person, by pseudonym; what is to become of the prompts is the caller's matter."""
        for generation, (whose, _) in list(self._running.items()):
            if whose == author:
                await self._abandon(generation)

    async def resume(self) -> None:
        """Take up every generation that the last process did not finish."""
        waiting = await generations.unfinished(self.db)
        for generation in waiting:
            self._begin(generation, None)
        if waiting:
            logger.info("resuming %d unfinished generations", len(waiting))

    async def close(self) -> None:
        """Stop all work at once; what is unfinished is resumed at the next start."""
        await cancel(*(task for _, task in self._running.values()))

    async def _messages(self, request: Request, kind: Kind, topic: str) -> tuple[ChatMessage, ...]:
        """What the model is asked, in the manner that the person has chosen."""
        topic = await self._checked(topic, kind)
        asked = request.choices.messages(kind, topic)
        return tuple(ChatMessage(message.role, message.content) for message in asked)

    async def _checked(self, topic: str, kind: Kind) -> str:
        """The topic, fit to be stored and shown.

        Raises:
            Refusal: it is empty, too long or unsafe, or in a language that the model does not write.
        """
        topic = sanitize(topic)
        if not topic:
            raise Refusal("prompt-empty", command=kind.name)
        if len(topic) > (limit := kind.most_characters(topic)):
            raise Refusal("prompt-too-long", length=len(topic), limit=limit)
        if language_of_topic(topic) not in kind.languages:
            raise Refusal("prompt-language", writes=kind.languages[0])
        await self.safety.check_prompt(topic)
        return topic

    @asynccontextmanager
    async def _room(self, author: str, *, texts: int = 1) -> AsyncIterator[None]:
        """Hold places for texts of a person, until they have tasks.

        Nobody may have more texts coming than there are places left, so that there is one for others.

        Raises:
            Refusal: too many are coming, or the person has asked too often.
        """
        places = self.settings.queue_limit - len(self._running) - self._arriving.total()
        of_author = sum(other == author for other, _ in self._running.values()) + self._arriving[author]
        if of_author + texts > places:
            raise Refusal("queue-yours", texts=of_author) if of_author else Refusal("queue-full")
        self._arriving[author] += texts
        try:
            yield
        except LimitReached as error:
            raise Refusal("prompts-too-many", limit=self.settings.prompts_per_hour) from error
        finally:
            self._arriving[author] -= texts
            self._arriving += Counter()  # drops who has none

    async def _accept(self, new: NewGeneration, choices: Choices) -> None:
        async with self._room(new.author):
            accepted = await generations.accept(self.db, new, per_hour=self.settings.prompts_per_hour)
            if accepted is not None:
                self._begin(accepted, choices)

    def _new(
        self,
        request: Request,
        kind: str,
        messages: tuple[ChatMessage, ...],
        *,
        parent: int | None = None,
        signal: PromptSignal | None = None,
    ) -> NewGeneration:
        return NewGeneration(
            update_id=request.update_id,
            kind=kind,
            chat=self.pseudonyms.chat(request.chat_id),
            author=self.pseudonyms.person(request.person_id),
            messages=messages,
            seed=request.update_id % 2**31,  # the same update gives the same text, also after a crash, in float32
            created_at=datetime.now(UTC),
            parent=parent,
            signal=signal,
            delivery=Delivery(
                chat_id=request.chat_id,
                reply_to=request.message_id,
                language=request.language,
                thread_id=request.thread_id,
                is_channel=request.is_channel,
            ),
        )

    async def _coming(self, chat_id: int, person_id: int) -> list[Generation]:
        author = self.pseudonyms.person(person_id)
        unfinished = await generations.unfinished(self.db)
        return [g for g in unfinished if g.author == author and g.delivery.chat_id == chat_id]

    async def _abandon(self, generation: int) -> None:
        _, task = self._running.get(generation, (None, None))
        await cancel(task)

    def _begin(self, generation: Generation, choices: Choices | None) -> None:
        if generation.id not in self._running:
            self._keep(generation, self._produce(generation, choices))

    def _keep(self, generation: Generation, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"generation {generation.id}")
        self._running[generation.id] = (generation.author, task)
        task.add_done_callback(partial(self._done, generation))
        return task

    async def _produce(self, accepted: Generation, choices: Choices | None) -> None:
        """See one generation to its end; a disk that refuses is waited out. No choices: they are still to be read."""
        generation: Generation | None = accepted
        while generation is not None and generation.state not in ENDED:
            try:
                choices = choices or await read_choices(self.db, accepted.author, accepted.chat)
                if await self.pipeline.produce(generation, choices):
                    # People may have rated or reported it between its being seen and its being recorded as delivered.
                    self.rating_buttons.refresh_soon(generation)
                    await self.reports.hide_again(generation)
                    await self.ask_consent(generation)
                break
            except StorageError as error:
                logger.warning("generation %d is put off: %s", accepted.id, error)
                await asyncio.sleep(_RETRY_SECONDS)
                generation = await generations.by_id(self.db, accepted.id)

    def _done(self, generation: Generation, task: asyncio.Task[Any]) -> None:
        del self._running[generation.id]
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("%s broke off", task.get_name(), exc_info=error)
        if generation.id not in self._failing:  # once: what cannot even be failed waits for the next start
            self._failing.add(generation.id)
            self._keep(generation, self.pipeline.fail(generation))


def _sibling(new: NewGeneration, place: int) -> NewGeneration:
    """Another text for the same prompt, by another seed: at place 0 the rival in a duel, from 1 on inline offers.

    Each text has the number of an update of its own. Telegram's are positive, so what is made of one is negative.
    """
    update_id = -1 - (new.update_id * _MOST_SIBLINGS + place)
    return replace(new, update_id=update_id, seed=(new.seed ^ (place + 1) * _OTHER_SEED) % 2**31)
