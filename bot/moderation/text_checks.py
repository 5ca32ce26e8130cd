"""What prompts and texts must pass: the safety filter with its guard model, and the check against copying.

A check names the sentence that is shown in place of a text; the log gets categories, never words.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.common.errors import Refusal
from engine.api.client import EngineClient
from engine.errors import EngineError
from engine.safety.filter import SafetyFilter
from engine.safety.near_copy import CopyIndex
from storage.db.database import Database
from storage.db.records import ConsentedText, Generation
from storage.tables import ratings

logger = logging.getLogger(__name__)

COPY_CHECK_TEXTS = 5000
"""The newest rated texts, whose prompts are not to be copied."""
_REFRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyCheck:
    """Categories of what is unsafe in prompts and texts.

    `guard` is the engine, where it has a guard model. What the guard cannot judge is withheld, unless `fails_open`.
    """

    words: SafetyFilter
    guard: EngineClient | None = None
    fails_open: bool = False

    async def check_prompt(self, prompt: str) -> None:
        """Let a prompt pass. Personal data in it is its author's own affair.

        Raises:
            Refusal: the filter or the guard finds something in it.
        """
        found = self.words.unsafe(prompt) or await self._judged(prompt)
        if found:
            logger.info("a prompt is refused: %s", ", ".join(sorted(found)))
            raise Refusal("prompt-unsafe")

    def may_show(self, text: str) -> bool:
        """Whether a text that still grows may be shown; asked often, so only the filter looks, for a millisecond."""
        return not self.words.unsafe(text)

    async def fault(self, generation: Generation, text: str) -> str | None:
        """The id of the sentence that is shown in place of an unfit text; None where nothing is wrong with it."""
        found = await self.unfit(text, told="\n".join(turn.content for turn in generation.messages))
        if not found:
            return None
        logger.info("a text of generation %d is withheld: %s", generation.id, ", ".join(sorted(found)))
        return "failed-unsafe"

    async def unfit(self, text: str, *, told: str) -> frozenset[str]:
        """The categories of what is found in a text, beside the personal data that it was `told`."""
        return self.words.unsafe(text) | self.words.leaks(text, told=told) or await self._judged(text)

    async def _judged(self, text: str) -> frozenset[str]:
        if self.guard is None:
            return frozenset()
        try:
            return await self.guard.moderate(text)
        except EngineError as error:
            logger.warning("the guard cannot be asked: %s", type(error).__name__)
            return frozenset() if self.fails_open else frozenset({"unjudged"})


@dataclass(kw_only=True)
class CopyCheck:
    """Whether a text copies protected texts, or other people's words.

    Other people's words are the prompts that may be learned from now, as their authors have agreed. They are held in
    memory only: `mark_stale` says that there may be new ones, `clear` drops them at once when somebody withdraws.
    """

    db: Database
    protected: CopyIndex
    _others: CopyIndex = field(default_factory=CopyIndex, init=False)
    _is_stale: bool = field(default=True, init=False)
    _refreshed_at: float = field(default=-_REFRESH_SECONDS, init=False)

    def mark_stale(self) -> None:
        """There may be new words."""
        self._is_stale = True

    def clear(self) -> None:
        """Some of the words may not be held any more."""
        self._others, self._is_stale, self._refreshed_at = CopyIndex(), True, -_REFRESH_SECONDS

    async def fault(self, generation: Generation, text: str) -> str | None:
        """The id of the sentence that is shown in place of a copy; None where it is none."""
        await self._refresh()
        if self.protected.is_copy(text) or self._others.is_copy(text, generation.author):
            logger.info("a text of generation %d is withheld: copy", generation.id)
            return "failed-copy"
        return None

    async def _refresh(self) -> None:
        now = time.monotonic()
        if self._is_stale and now - self._refreshed_at >= _REFRESH_SECONDS:
            self._is_stale, self._refreshed_at = False, now
            texts = await ratings.consented(self.db, newest=COPY_CHECK_TEXTS)
            others = await asyncio.to_thread(prompts_in, texts)
            if not self._is_stale:  # else somebody has withdrawn meanwhile
                self._others = others


def prompts_in(texts: Iterable[ConsentedText]) -> CopyIndex:
    """What people wrote themselves, each under their own name."""
    generations = [text.generation for text in texts]
    found = CopyIndex()
    for said, author in {(turn.content, g.author) for g in generations for turn in g.messages if turn.role == "user"}:
        found.add(said, author)
    return found
