"""The studio: from an accepted prompt to a delivered text.

A prompt is recorded before anything else happens, and each step is recorded before the next is visible, so that a
restart goes on where the last process stopped: accepted -> placed (the placeholder stands) -> written (the text is
final) -> delivered. Knows services and records. Knows nothing of Telegram's types and nothing of torch.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.composer import Composer
from bot.errors import Refusal
from bot.identity import Pseudonyms
from bot.kinds import Kind, Kinds, language_of_topic
from bot.plain import plain
from storage import generations
from storage.database import Database
from storage.records import Delivery, Generation, NewGeneration, Turn

logger = logging.getLogger(__name__)

MAX_TOPIC_CHARACTERS = 2000
MAX_AT_ONCE = 32
"""Generations in production at one time; the others wait in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, where, in which message and language."""

    update_id: int
    person_id: int
    chat_id: int
    message_id: int
    language: str
    thread_id: int | None = None


class Studio:
    """Takes prompts, keeps them, and sees each to its end."""

    def __init__(
        self, *, db: Database, composer: Composer, kinds: Kinds, pseudonyms: Pseudonyms, prompts_per_hour: int
    ) -> None:
        self._db = db
        self._composer = composer
        self._kinds = kinds
        self._pseudonyms = pseudonyms
        self._prompts_per_hour = prompts_per_hour
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, request: Request, kind: Kind, topic: str) -> None:
        """Accept a prompt of a kind.

        Raises:
            Refusal: the topic is empty or too long, or the person has asked too often.
        """
        topic = self._checked(topic, kind)
        instruction = kind.instruction[language_of_topic(topic)]
        await self._accept(request, kind.name, (Turn("system", instruction), Turn("user", topic)), parent=None)

    async def again(self, request: Request, generation: int) -> None:
        """Accept another take on the prompt of an earlier generation."""
        earlier = await self._earlier(request, generation)
        await self._accept(request, earlier.kind, earlier.messages, parent=earlier.id)

    async def refine(self, request: Request, shown_in: int, wish: str) -> bool:
        """Accept a wish about the generation that a message shows; False when the message shows none."""
        earlier = await generations.by_message(self._db, chat_id=request.chat_id, message_id=shown_in)
        if earlier is None or earlier.text is None:
            return False
        wish = self._checked(wish, self._kinds.by_name.get(earlier.kind, self._kinds.default))
        thread = (*earlier.messages, Turn("assistant", earlier.text), Turn("user", wish))
        await self._accept(request, earlier.kind, thread, parent=earlier.id)
        return True

    async def resume(self) -> None:
        """Take up every generation that the last process did not finish."""
        waiting = await generations.unfinished(self._db)
        for generation in waiting:
            self._begin(generation)
        if waiting:
            logger.info("resuming %d unfinished generations", len(waiting))

    async def close(self) -> None:
        """Stop all work at once; what is unfinished is resumed at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _checked(self, topic: str, kind: Kind) -> str:
        topic = plain(topic)
        if not topic:
            raise Refusal("prompt-empty", command=kind.name)
        if len(topic) > MAX_TOPIC_CHARACTERS:
            raise Refusal("prompt-too-long", length=len(topic), limit=MAX_TOPIC_CHARACTERS)
        return topic

    async def _earlier(self, request: Request, generation: int) -> Generation:
        earlier = await generations.by_id(self._db, generation)
        if earlier is None or earlier.delivery.chat_id != request.chat_id:
            raise Refusal("generation-unknown")
        return earlier

    async def _accept(self, request: Request, kind: str, messages: tuple[Turn, ...], *, parent: int | None) -> None:
        now = datetime.now(UTC)
        author = self._pseudonyms.person(request.person_id)
        if self._prompts_per_hour:
            recent = await generations.count_since(self._db, author, since=now - timedelta(hours=1))
            if recent >= self._prompts_per_hour:
                raise Refusal("prompts-too-many", limit=self._prompts_per_hour)
        accepted = await generations.accept(
            self._db,
            NewGeneration(
                update_id=request.update_id,
                kind=kind,
                chat=self._pseudonyms.chat(request.chat_id),
                author=author,
                messages=messages,
                seed=request.update_id % 2**31,  # the same update gives the same text, also after a crash
                created_at=now,
                parent=parent,
                delivery=Delivery(
                    chat_id=request.chat_id,
                    reply_to=request.message_id,
                    language=request.language,
                    thread_id=request.thread_id,
                ),
            ),
        )
        if accepted is not None:
            self._begin(accepted)

    def _begin(self, generation: Generation) -> None:
        task = asyncio.create_task(self._produce(generation), name=f"generation {generation.id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _produce(self, generation: Generation) -> None:
        async with self._room:
            await self._composer.produce(generation)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s stays unfinished until the next start", task.get_name(), exc_info=error)
