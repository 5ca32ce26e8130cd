"""The service: from an accepted prompt to a delivered text.

A prompt is recorded before anything else happens, and each step is recorded before the next is visible, so that a
restart goes on where the last process stopped: accepted -> placed (the placeholder stands) -> written (the text is
final) -> delivered. Knows services and records. Knows nothing of Telegram's types and nothing of torch.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

from bot.common.errors import Refusal
from bot.common.keys import Pseudonyms
from bot.common.kinds import Kind, Kinds, language_of_topic
from bot.common.tasks import cancel
from bot.generation.limits import Admission
from bot.generation.pipeline import GenerationPipeline
from bot.generation.preferences import choices_of, in_manner
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import ChatMessage, Delivery, Generation, NewGeneration, PromptSignal
from storage.tables import generations

logger = logging.getLogger(__name__)

ENDED = ("delivered", "failed")

Writing = asyncio.Task[Refusal | None]
"""A take under way; it comes to None once the text is written."""

T = TypeVar("T")

_RETRY_SECONDS = 2.0
_TOKEN_BYTES = 9
_BESIDE = 8
"""More texts than one update asks for."""
_OTHER_SEED = 0x2545F491
"""Far from any seed, whose neighbours are taken when a text is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, where, in which message and language; a channel asks as itself."""

    update_id: int
    person_id: int
    chat_id: int
    message_id: int
    language: str
    thread_id: int | None = None
    is_channel: bool = False


@dataclass(frozen=True, slots=True)
class _Origin:
    """The earlier generation that a prompt is about, and what it says of it."""

    generation: int
    signal: PromptSignal


class GenerationService:
    """Takes prompts, keeps them, and sees each to its end; `on_delivered` is awaited with each text that stands."""

    def __init__(
        self,
        *,
        db: Database,
        pipeline: GenerationPipeline,
        kinds: Kinds,
        pseudonyms: Pseudonyms,
        admission: Admission,
        on_delivered: Callable[[Generation], Awaitable[None]],
    ) -> None:
        self._db = db
        self._pipeline = pipeline
        self._kinds = kinds
        self._pseudonyms = pseudonyms
        self._admission = admission
        self._on_delivered = on_delivered
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._authors: dict[int, str] = {}
        """Of the generations that have a task."""
        self._failing: set[int] = set()

    async def write(self, request: Request, kind: Kind, topic: str, *, texts: Literal[1, 2] = 1) -> None:
        """Accept a prompt of a kind, for one text, or for two between which people choose.

        Raises:
            Refusal: the topic is empty, too long or unsafe, the person has asked too often, or too many texts come.
        """
        new = self._new(request, kind.name, await self._asked(request, kind, topic))
        if texts == 1:
            await self._accept(new)
            return
        async with self._admission.room_for(new.author, self._authors.values(), texts=2):
            for generation in await generations.accept_duel(self._db, new, _beside(new, 0)):
                self._begin(generation)

    async def offer(self, request: Request, kind: Kind, topic: str, *, takes: int) -> Mapping[int, Writing]:
        """Begin several texts that stand in no chat yet, by number; each counts as a prompt. `request` has no message.

        Raises:
            Refusal: as in `write`.
        """
        first = self._new(request, kind.name, await self._asked(request, kind, topic))
        new = [(secrets.token_urlsafe(_TOKEN_BYTES), _beside(first, place)) for place in range(1, takes + 1)]
        async with self._admission.room_for(first.author, self._authors.values(), texts=takes):
            accepted = await generations.accept_inline_results(
                self._db, new, home=self._pseudonyms.chat(request.person_id)
            )
            return {take.id: self._keep(take, self._pipeline.take(take)) for take in accepted}

    async def drop(self, takes: Sequence[int]) -> None:
        """Stop writing takes that nobody waits for any more."""
        for take in takes:
            await self._abandon(take)
        await generations.drop_inline_results(self._db, takes, at=datetime.now(UTC))

    async def again(self, request: Request, generation: int) -> None:
        """Accept another take on the prompt of an earlier generation."""
        earlier = await generations.by_message(self._db, chat_id=request.chat_id, message_id=request.message_id)
        if earlier is None or earlier.id != generation or not earlier.messages or not earlier.may_be_continued:
            raise Refusal("generation-unknown")
        await self._accept(self._new(request, earlier.kind, earlier.messages, _Origin(earlier.id, "another")))

    async def refine(
        self, request: Request, shown_in: int, wish_for: Callable[[str], str], *, generation: int | None = None
    ) -> bool:
        """Accept a wish about the generation that a message shows; False when the message shows none, or not that one.

        `wish_for` says what is wished, given the text.
        """
        earlier = await generations.by_message(self._db, chat_id=request.chat_id, message_id=shown_in)
        if earlier is None or earlier.text is None or not earlier.may_be_continued:
            return False
        if generation not in (None, earlier.id):
            return False
        wish = await self._admission.checked(
            wish_for(earlier.text), self._kinds.by_name.get(earlier.kind, self._kinds.default)
        )
        thread = (*earlier.messages, ChatMessage("assistant", earlier.text), ChatMessage("user", wish))
        await self._accept(self._new(request, earlier.kind, thread, _Origin(earlier.id, "refined")))
        return True

    async def stop(self, generation_id: int, *, shown_in: int, chat_id: int, person_id: int) -> bool:
        """End a generation that is being written, as its author wishes.

        False: that message is a placeholder that a crash has doubled; it was taken away, and the text comes in another.

        Raises:
            Refusal: it is finished, or somebody else's.
        """
        generation = await generations.by_id(self._db, generation_id)
        if generation is None or generation.delivery.chat_id != chat_id:
            raise Refusal("generation-unknown")
        stands_in = generation.delivery.message_id
        if stands_in != shown_in and (stands_in is not None or generation.state in ENDED):
            await self._pipeline.remove_orphan(chat_id, shown_in)
            return stands_in is None  # then a /cancel has come before we knew the message
        if generation.author != self._pseudonyms.person(person_id):
            raise Refusal("stop-not-yours")
        if generation.state in ENDED:
            raise Refusal("stop-too-late")
        await self._abandon(generation.id)
        await self._pipeline.say_stopped(generation, shown_in)
        return True

    async def cancel(self, chat_id: int, person_id: int) -> int:
        """End every text that is coming for a person in a chat; returns how many."""
        for generation in await self._coming(chat_id, person_id):
            await self._abandon(generation.id)
        stopped = await self._coming(chat_id, person_id)  # others have come to their end meanwhile
        for generation in stopped:
            await self._pipeline.fail(generation, "stopped")
        return len(stopped)

    async def _coming(self, chat_id: int, person_id: int) -> list[Generation]:
        author = self._pseudonyms.person(person_id)
        unfinished = await generations.unfinished(self._db)
        return [g for g in unfinished if g.author == author and g.delivery.chat_id == chat_id]

    async def abandon_all_of(self, author: str) -> None:
        """Stop writing for a person, by pseudonym; what is to become of the prompts is the caller's matter."""
        for generation, whose in list(self._authors.items()):
            if whose == author:
                await self._abandon(generation)

    async def resume(self) -> None:
        """Take up every generation that the last process did not finish."""
        waiting = await generations.unfinished(self._db)
        for generation in waiting:
            self._begin(generation)
        if waiting:
            logger.info("resuming %d unfinished generations", len(waiting))

    async def close(self) -> None:
        """Stop all work at once; what is unfinished is resumed at the next start."""
        await cancel(*self._tasks.values())

    async def _abandon(self, generation: int) -> None:
        await cancel(self._tasks.get(generation))

    async def _asked(self, request: Request, kind: Kind, topic: str) -> tuple[ChatMessage, ...]:
        """What the model is asked, in the manner that the person has chosen."""
        topic = await self._admission.checked(topic, kind)
        language = language_of_topic(topic)
        person, chat = self._pseudonyms.person(request.person_id), self._pseudonyms.chat(request.chat_id)
        instruction = in_manner(kind.instruction[language], await choices_of(self._db, person, chat), language)
        return ChatMessage("system", instruction), ChatMessage("user", topic)

    async def _accept(self, new: NewGeneration) -> None:
        async with self._admission.room_for(new.author, self._authors.values()):
            accepted = await generations.accept(self._db, new)
            if accepted is not None:
                self._begin(accepted)

    def _new(
        self, request: Request, kind: str, messages: tuple[ChatMessage, ...], origin: "_Origin | None" = None
    ) -> NewGeneration:
        return NewGeneration(
            update_id=request.update_id,
            kind=kind,
            chat=self._pseudonyms.chat(request.chat_id),
            author=self._pseudonyms.person(request.person_id),
            messages=messages,
            seed=request.update_id % 2**31,  # the same update gives the same text, also after a crash
            created_at=datetime.now(UTC),
            parent=None if origin is None else origin.generation,
            signal=None if origin is None else origin.signal,
            delivery=Delivery(
                chat_id=request.chat_id,
                reply_to=request.message_id,
                language=request.language,
                thread_id=request.thread_id,
                is_channel=request.is_channel,
            ),
        )

    def _begin(self, generation: Generation) -> None:
        if generation.id not in self._tasks:
            self._keep(generation, self._produce(generation))

    def _keep(self, generation: Generation, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"generation {generation.id}")
        self._tasks[generation.id] = task
        self._authors[generation.id] = generation.author
        task.add_done_callback(partial(self._done, generation))
        return task

    async def _produce(self, accepted: Generation) -> None:
        """See one generation to its end; a disk that refuses is waited out."""
        generation: Generation | None = accepted
        while generation is not None and generation.state not in ENDED:
            try:
                if await self._pipeline.produce(generation):
                    await self._on_delivered(generation)
                break
            except StorageError as error:
                logger.warning("generation %d is put off: %s", accepted.id, error)
                await asyncio.sleep(_RETRY_SECONDS)
                generation = await generations.by_id(self._db, accepted.id)

    def _done(self, generation: Generation, task: asyncio.Task[Any]) -> None:
        del self._tasks[generation.id], self._authors[generation.id]
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("%s broke off", task.get_name(), exc_info=error)
        if generation.id not in self._failing:  # once: what cannot even be failed waits for the next start
            self._failing.add(generation.id)
            self._keep(generation, self._pipeline.fail(generation))


def _beside(new: NewGeneration, place: int) -> NewGeneration:
    """Another text for the same prompt, by another seed: at place 0 the rival in a duel, from 1 on takes to be offered.

    Each text has the number of an update of its own. Telegram's are positive, so what is made of one is negative.
    """
    update_id = -1 - (new.update_id * _BESIDE + place)
    return replace(new, update_id=update_id, seed=(new.seed ^ (place + 1) * _OTHER_SEED) % 2**31)
