"""The overlap inspector (`bot.moderation.text_checks`): a text that copies protected texts, or other people's words,
is withheld.

Other people's words are the prompts and wishes that teach now, as their authors have agreed; they are held in memory
only, and dropped at once when somebody withdraws or is forgotten. Knows when they are stale. Knows no Telegram type.
"""

import asyncio
import logging
import time

from engine.safety.near_copy import CopyIndex
from storage.db.database import Database
from storage.db.records import ConsentedGeneration, Generation
from storage.tables import ratings

logger = logging.getLogger(__name__)

NEWEST = 5000
"""Rated texts whose prompts are held."""
_REFRESH_SECONDS = 60.0


class CopyCheck:
    """Call `renew` when somebody's words are no longer to be held, `note` when there may be new ones."""

    def __init__(self, *, db: Database, protected: CopyIndex) -> None:
        self._db = db
        self._protected = protected
        self._others = CopyIndex()
        self._is_stale = True
        self._refreshed_at = -_REFRESH_SECONDS

    def note(self) -> None:
        """There may be new words."""
        self._is_stale = True

    def renew(self) -> None:
        """Some of the words are not to be held any more."""
        self._others, self._is_stale, self._refreshed_at = CopyIndex(), True, -_REFRESH_SECONDS

    def may_show(self, _text: str) -> bool:
        """A growing text is looked at once it is whole: its first words are no copy of anything yet."""
        return True

    async def fault(self, generation: Generation, text: str) -> str | None:
        """Why a text is withheld: it copies."""
        await self._refresh()
        if self._protected.is_copy(text) or self._others.is_copy(text, generation.author):
            logger.info("a text of generation %d is withheld: copy", generation.id)
            return "failed-copy"
        return None

    async def _refresh(self) -> None:
        now = time.monotonic()
        if self._is_stale and now - self._refreshed_at >= _REFRESH_SECONDS:
            self._is_stale, self._refreshed_at = False, now
            texts = await ratings.consented(self._db, newest=NEWEST)
            others = await asyncio.to_thread(words_of, texts)
            if not self._is_stale:  # else somebody has withdrawn meanwhile
                self._others = others


def words_of(texts: list[ConsentedGeneration]) -> CopyIndex:
    """What people wrote themselves, each under their own name."""
    found = CopyIndex()
    for said, author in {
        (turn.content, text.generation.author)
        for text in texts
        for turn in text.generation.messages
        if turn.role == "user"
    }:
        found.add(said, author)
    return found
