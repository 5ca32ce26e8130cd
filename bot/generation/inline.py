"""Inline mode: texts that are offered while somebody types the bot's name in any chat.

A query comes with each keystroke. So a person's newest is answered alone, and texts are written once it has stood for a
second; the same words get the same offers for a while, which is also how those are seen that took too long. Words are
read from the database, not kept; `docs/decisions/0024-inline-mode.md` says why it is as it is.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cachetools import TTLCache

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.kinds import Kind, Kinds
from bot.common.tasks import cancel
from bot.common.text import sanitize
from bot.common.timing import USUAL, Timing
from bot.generation.service import GenerationService, OfferTask, Request
from bot.messaging.messenger import Messenger, Offer, Renderer
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import generations

logger = logging.getLogger(__name__)

OFFERS = 2
"""Texts to choose from; each counts as a prompt."""
DEADLINE_SECONDS = 6.0
"""What is not written by then is offered when the same is asked again; Telegram waits little longer."""
KEPT_SECONDS = 300.0

_MOST_PEOPLE = 10_000
_HINTS = {
    "prompt-empty": "inline-topic",
    "prompt-too-long": "inline-too-long",
    "prompt-unsafe": "inline-unsafe",
    "prompts-too-many": "inline-too-many",
    "queue-full": "inline-queue",
    "queue-yours": "inline-queue",
    "failed-engine": "inline-engine",
    "failed-too-long": "inline-too-long",
}
"""For each refusal a sentence that fits into the line above the offers; the others have but one between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What somebody has typed behind the bot's name, so far."""

    id: str
    update_id: int
    person_id: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class _Offered:
    """What is written, or being written, for a person; `topic` is a hash of what they have asked."""

    topic: int
    tasks: Mapping[int, OfferTask]


@dataclass(kw_only=True)
class InlineQueries:
    """Answers inline queries, one person's one at a time."""

    db: Database
    service: GenerationService
    renderer: Renderer
    kinds: Kinds
    messenger: Messenger
    timing: Timing = USUAL
    _answering: dict[int, tuple[int, asyncio.Task[None]]] = field(default_factory=dict, init=False)
    """By person: the number of the newest query's update, and the task."""
    _offered: TTLCache[int, _Offered] = field(default_factory=lambda: TTLCache(_MOST_PEOPLE, KEPT_SECONDS), init=False)

    def ask(self, query: Query) -> None:
        """Answer a query in the background, unless the person types on; an older one of theirs is given up."""
        update_id, task = self._answering.get(query.person_id, (None, None))
        if update_id is not None and update_id > query.update_id:
            return
        if task is not None:
            task.cancel()
        task = asyncio.create_task(self._answer(query), name="inline query")
        self._answering[query.person_id] = (query.update_id, task)
        task.add_done_callback(lambda done: self._done(query.person_id, done))

    async def chosen(self, token: str, shown_in: str) -> None:
        """Somebody has sent an offer; an inline message shows it now."""
        await generations.choose_inline_result(self.db, token, shown_in=shown_in, at=datetime.now(UTC))

    async def close(self) -> None:
        """Give up every query; who asked sees nothing, and asks again."""
        await cancel(*(task for _, task in self._answering.values()))

    def _done(self, person_id: int, task: asyncio.Task[None]) -> None:
        if self._answering[person_id][1] is task:
            del self._answering[person_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an inline query could not be answered", exc_info=error)

    async def _answer(self, query: Query) -> None:
        kind, topic = parsed(query.text, self.kinds)
        listed: list[Offer] = []
        try:
            tasks = await self._tasks(query, kind, topic)
            if tasks:
                await asyncio.wait(tasks.values(), timeout=DEADLINE_SECONDS)
            written = await generations.written_inline_results(self.db, list(tasks))
            listed = [self.renderer.offer(offer, place) for place, offer in enumerate(written, start=1)]
            hint = "" if listed else _hint(tasks)
        except Refusal as refusal:
            hint = _HINTS.get(refusal.text, "inline-failed")
        except StorageError as error:
            logger.warning("an inline query is given up: %s", error)
            hint = "inline-failed"
        try:
            await self.messenger.offer(query.id, listed, say(query.language, hint) if hint else "")
        except DeliveryError as error:
            logger.info("an inline query could not be answered: %s", error)  # mostly: too late

    async def _tasks(self, query: Query, kind: Kind, topic: str) -> Mapping[int, OfferTask]:
        """The offers on a topic, as far as they are; begun now unless they are there already."""
        if not topic:
            raise Refusal("prompt-empty")
        asked, offered = hash((kind.name, topic)), self._offered.get(query.person_id)
        if offered is not None and offered.topic == asked and await self._is_usable(offered):
            return offered.tasks
        await asyncio.sleep(self.timing.inline_quiet)
        if (offered := self._offered.pop(query.person_id, None)) is not None:
            await self.service.drop(list(offered.tasks))
        request = Request(
            update_id=query.update_id, person_id=query.person_id, chat_id=query.person_id, message_id=0,
            language=query.language,
        )  # fmt: skip
        tasks = await self.service.offer(request, kind, topic, texts=OFFERS)
        self._offered[query.person_id] = _Offered(asked, tasks)
        return tasks

    async def _is_usable(self, offered: _Offered) -> bool:
        """Whether there are texts, or some are to come; else it is all to be tried again."""
        is_writing = any(not task.done() for task in offered.tasks.values())
        return is_writing or bool(await generations.written_inline_results(self.db, list(offered.tasks)))


def parsed(text: str, kinds: Kinds) -> tuple[Kind, str]:
    """What kind of text is asked for, and about what: "" as long as nobody can tell."""
    text = sanitize(text)
    kind, topic = kinds.parse(text)
    is_one_word = kind is kinds.default and len(text.split()) == 1
    is_half_a_name = is_one_word and any(name.startswith(text.removeprefix("/").lower()) for name in kinds.by_name)
    return kind, "" if is_half_a_name else topic


def _hint(tasks: Mapping[int, OfferTask]) -> str:
    """Why there is nothing to choose from."""
    if any(not task.done() for task in tasks.values()):
        return "inline-writing"
    outcomes = [task.result() for task in tasks.values() if not task.cancelled() and task.exception() is None]
    return next((_HINTS.get(refusal.text, "inline-failed") for refusal in outcomes if refusal), "inline-failed")
