"""Admission: what may be asked, how often, and whether there is room for another text. Knows limits, no message."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.common.errors import Refusal
from bot.common.kinds import Kind
from bot.common.text import sanitize
from bot.moderation.text_checks import SafetyCheck
from storage.db.database import Database
from storage.tables import generations

MAX_TOPIC_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked for."""

    prompts_per_hour: int
    """By one person; 0 = no limit."""
    queue: int
    """Texts that may be coming at one time, over everybody."""


class Admission:
    """Asked before a prompt is recorded."""

    def __init__(self, *, db: Database, limits: Limits, safety: SafetyCheck) -> None:
        self._db = db
        self._limits = limits
        self._safety = safety
        self._arriving = 0

    async def checked(self, topic: str, kind: Kind) -> str:
        """The topic, fit to be stored and shown.

        Raises:
            Refusal: it is empty, too long or unsafe.
        """
        topic = sanitize(topic)
        if not topic:
            raise Refusal("prompt-empty", command=kind.name)
        if len(topic) > MAX_TOPIC_CHARACTERS:
            raise Refusal("prompt-too-long", length=len(topic), limit=MAX_TOPIC_CHARACTERS)
        await self._safety.check_prompt(topic)
        return topic

    @asynccontextmanager
    async def room_for(self, author: str, coming: Collection[str], *, texts: int = 1) -> AsyncIterator[None]:
        """Hold places for texts of a person (a pseudonym); `coming` has the author of each text that is being written.

        Raises:
            Refusal: too many are coming, or the person has asked too often.
        """
        self._check_room(author, coming, texts)
        self._arriving += texts
        try:
            await self._check_pace(author, texts)
            yield
        finally:
            self._arriving -= texts

    def _check_room(self, author: str, coming: Collection[str], texts: int) -> None:
        """Let nobody have more texts coming than there are places left, so that there is one for others."""
        places = self._limits.queue - len(coming) - self._arriving
        of_author = sum(other == author for other in coming)
        if of_author + texts > places:
            raise Refusal("queue-yours", texts=of_author) if of_author else Refusal("queue-full")

    async def _check_pace(self, author: str, texts: int) -> None:
        limit = self._limits.prompts_per_hour
        if limit:
            since = datetime.now(UTC) - timedelta(hours=1)
            if await generations.count_since(self._db, author, since=since) + texts > limit:
                raise Refusal("prompts-too-many", limit=limit)
