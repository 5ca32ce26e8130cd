"""The studio: from an accepted prompt to a delivered text.

A prompt is recorded before anything else happens, and each step is recorded before the next is visible, so that a
restart goes on where the last process stopped: accepted -> placed (the placeholder stands) -> written (the text is
final) -> delivered. Knows services and records. Knows nothing of Telegram's types and nothing of torch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from bot.choices import choices_of, in_manner
from bot.composer import Composer
from bot.errors import Refusal
from bot.identity import Pseudonyms
from bot.kinds import Kind, Kinds, language_of_topic
from bot.plain import plain
from bot.safety import Safety
from storage import duels, generations
from storage.database import Database
from storage.errors import StorageError
from storage.records import Delivery, Generation, NewGeneration, PromptSignal, Turn

logger = logging.getLogger(__name__)

MAX_TOPIC_CHARACTERS = 2000

ENDED = ("delivered", "failed")

_RETRY_SECONDS = 2.0
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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked for."""

    prompts_per_hour: int
    """By one person; 0 = no limit."""
    queue: int
    """Texts that may be coming at one time, over everybody."""


class Studio:
    """Takes prompts, keeps them, and sees each to its end; `on_delivered` is awaited with each text that stands."""

    def __init__(
        self,
        *,
        db: Database,
        composer: Composer,
        kinds: Kinds,
        pseudonyms: Pseudonyms,
        limits: Limits,
        on_delivered: Callable[[Generation], Awaitable[None]],
        safety: Safety,
    ) -> None:
        self._db = db
        self._composer = composer
        self._kinds = kinds
        self._pseudonyms = pseudonyms
        self._prompts_per_hour = limits.prompts_per_hour
        self._queue_limit = limits.queue
        self._on_delivered = on_delivered
        self._safety = safety
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._authors: dict[int, str] = {}
        """Of the generations that have a task."""
        self._failing: set[int] = set()
        self._arriving = 0

    async def write(self, request: Request, kind: Kind, topic: str, *, texts: Literal[1, 2] = 1) -> None:
        """Accept a prompt of a kind, for one text, or for two between which people choose.

        Raises:
            Refusal: the topic is empty, too long or unsafe, the person has asked too often, or too many texts come.
        """
        topic = await self._checked(topic, kind)
        instruction = await self._instruction(request, kind, language_of_topic(topic))
        await self._accept(request, kind.name, (Turn("system", instruction), Turn("user", topic)), texts=texts)

    async def again(self, request: Request, generation: int) -> None:
        """Accept another take on the prompt of an earlier generation."""
        earlier = await generations.by_message(self._db, chat_id=request.chat_id, message_id=request.message_id)
        if earlier is None or earlier.id != generation or not earlier.messages or not earlier.may_be_continued:
            raise Refusal("generation-unknown")
        await self._accept(request, earlier.kind, earlier.messages, _Origin(earlier.id, "another"))

    async def refine(self, request: Request, shown_in: int, wish_for: Callable[[str], str]) -> bool:
        """Accept a wish about the generation that a message shows; False when the message shows none.

        `wish_for` says what is wished, given the text.
        """
        earlier = await generations.by_message(self._db, chat_id=request.chat_id, message_id=shown_in)
        if earlier is None or earlier.text is None or not earlier.may_be_continued:
            return False
        wish = await self._checked(wish_for(earlier.text), self._kinds.by_name.get(earlier.kind, self._kinds.default))
        thread = (*earlier.messages, Turn("assistant", earlier.text), Turn("user", wish))
        await self._accept(request, earlier.kind, thread, _Origin(earlier.id, "refined"))
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
            await self._composer.remove_orphan(chat_id, shown_in)
            return stands_in is None  # then a /cancel has come before we knew the message
        if generation.author != self._pseudonyms.person(person_id):
            raise Refusal("stop-not-yours")
        if generation.state in ENDED:
            raise Refusal("stop-too-late")
        await self._abandon(generation.id)
        await self._composer.say_stopped(generation, shown_in)
        return True

    async def cancel(self, chat_id: int, person_id: int) -> int:
        """End every text that is coming for a person in a chat; returns how many."""
        for generation in await self._coming(chat_id, person_id):
            await self._abandon(generation.id)
        stopped = await self._coming(chat_id, person_id)  # others have come to their end meanwhile
        for generation in stopped:
            await self._composer.fail(generation, "stopped")
        return len(stopped)

    async def _coming(self, chat_id: int, person_id: int) -> list[Generation]:
        author = self._pseudonyms.person(person_id)
        unfinished = await generations.unfinished(self._db)
        return [g for g in unfinished if g.author == author and g.delivery.chat_id == chat_id]

    async def abandon_all_of(self, author: str) -> None:
        """Stop writing for a person, by pseudonym; what is to become of the prompts is the caller's matter."""
        for generation in await generations.unfinished(self._db):
            if generation.author == author:
                await self._abandon(generation.id)

    async def resume(self) -> None:
        """Take up every generation that the last process did not finish."""
        waiting = await generations.unfinished(self._db)
        for generation in waiting:
            self._begin(generation)
        if waiting:
            logger.info("resuming %d unfinished generations", len(waiting))

    async def close(self) -> None:
        """Stop all work at once; what is unfinished is resumed at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _abandon(self, generation: int) -> None:
        task = self._tasks.get(generation)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _instruction(self, request: Request, kind: Kind, language: str) -> str:
        """What the kind asks of the model, in the manner that the person has chosen."""
        person, chat = self._pseudonyms.person(request.person_id), self._pseudonyms.chat(request.chat_id)
        return in_manner(kind.instruction[language], await choices_of(self._db, person, chat), language)

    async def _checked(self, topic: str, kind: Kind) -> str:
        topic = plain(topic)
        if not topic:
            raise Refusal("prompt-empty", command=kind.name)
        if len(topic) > MAX_TOPIC_CHARACTERS:
            raise Refusal("prompt-too-long", length=len(topic), limit=MAX_TOPIC_CHARACTERS)
        await self._safety.check_prompt(topic)
        return topic

    async def _accept(
        self,
        request: Request,
        kind: str,
        messages: tuple[Turn, ...],
        origin: "_Origin | None" = None,
        *,
        texts: Literal[1, 2] = 1,
    ) -> None:
        self._check_room(request.person_id)
        self._arriving += 1
        try:
            await self._check_pace(request.person_id)
            new = self._new(request, kind, messages, origin)
            accepted = (
                await duels.accept(self._db, new, _rival(new))
                if texts == 2
                else (await generations.accept(self._db, new),)
            )
            for generation in accepted:
                if generation is not None:
                    self._begin(generation)
        finally:
            self._arriving -= 1

    def _check_room(self, person_id: int) -> None:
        """Let nobody have more texts coming than there are places left, so that there is one for others."""
        places = self._queue_limit - len(self._tasks) - self._arriving
        author = self._pseudonyms.person(person_id)
        of_author = sum(other == author for other in self._authors.values())
        if of_author >= places:
            raise Refusal("queue-yours", texts=of_author) if of_author else Refusal("queue-full")

    async def _check_pace(self, person_id: int) -> None:
        if self._prompts_per_hour:
            since = datetime.now(UTC) - timedelta(hours=1)
            recent = await generations.count_since(self._db, self._pseudonyms.person(person_id), since=since)
            if recent >= self._prompts_per_hour:
                raise Refusal("prompts-too-many", limit=self._prompts_per_hour)

    def _new(self, request: Request, kind: str, messages: tuple[Turn, ...], origin: "_Origin | None") -> NewGeneration:
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

    def _keep(self, generation: Generation, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=f"generation {generation.id}")
        self._tasks[generation.id] = task
        self._authors[generation.id] = generation.author
        task.add_done_callback(partial(self._done, generation))

    async def _produce(self, accepted: Generation) -> None:
        """See one generation to its end; a disk that refuses is waited out."""
        generation: Generation | None = accepted
        while generation is not None and generation.state not in ENDED:
            try:
                if await self._composer.produce(generation):
                    await self._on_delivered(generation)
                break
            except StorageError as error:
                logger.warning("generation %d is put off: %s", accepted.id, error)
                await asyncio.sleep(_RETRY_SECONDS)
                generation = await generations.by_id(self._db, accepted.id)

    def _done(self, generation: Generation, task: asyncio.Task[None]) -> None:
        del self._tasks[generation.id], self._authors[generation.id]
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("%s broke off", task.get_name(), exc_info=error)
        if generation.id not in self._failing:  # once: what cannot even be failed waits for the next start
            self._failing.add(generation.id)
            self._keep(generation, self._composer.fail(generation))


def _rival(new: NewGeneration) -> NewGeneration:
    """The other text for a prompt, by another seed."""
    return replace(new, update_id=-new.update_id, seed=(new.seed ^ _OTHER_SEED) % 2**31)
