"""The inspection: what a finished text must pass before anybody sees it. Knows texts, not what is looked for.

Each inspector is one reason to withhold a text: the safety filter, the overlap with other people's texts.

The rules that every text of this bot is written by. Knows what they are, not how they are kept.

Safety in chat: what is not written about, and what is not shown. Knows the filter and sentences; logs categories.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.common.errors import Refusal
from bot.common.kinds import Kinds
from engine.api.client import EngineClient
from engine.errors import EngineError
from engine.safety.filter import SafetyFilter
from storage.db.records import Generation


class Inspector(Protocol):
    """One reason to withhold a text."""

    def may_show(self, text: str) -> bool:
        """Whether a text that is still growing may be shown; asked often, so it takes a millisecond at most."""
        ...

    async def fault(self, generation: Generation, text: str) -> str | None:
        """The id of the sentence that is shown in place of a finished text; None where nothing is wrong with it."""
        ...


class Inspection:
    """All inspectors as one, in order: the first fault counts."""

    def __init__(self, inspectors: Sequence[Inspector] = ()) -> None:
        self._inspectors = inspectors

    def may_show(self, text: str) -> bool:
        """Whether no inspector objects to a growing text."""
        return all(inspector.may_show(text) for inspector in self._inspectors)

    async def fault(self, generation: Generation, text: str) -> str | None:
        """What the first inspector that objects says instead."""
        for inspector in self._inspectors:
            if (fault := await inspector.fault(generation, text)) is not None:
                return fault
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every text."""

    kinds: Kinds
    label: str
    """Says under each that a machine wrote it."""
    inspection: Inspection
    fingerprint_of: Callable[[str], Sequence[int]]
    """The numbers by which a text is found again."""


logger = logging.getLogger(__name__)


class SafetyCheck:
    """Looks at prompts and, as an inspector (`bot.moderation.text_checks`), at texts.

    `guard` is the engine, where it has a guard model. What the guard cannot judge is withheld, unless `fails_open`.
    """

    def __init__(self, *, words: SafetyFilter, guard: EngineClient | None = None, fails_open: bool = False) -> None:
        self._filter = words
        self._guard = guard
        self._fails_open = fails_open

    async def check_prompt(self, prompt: str) -> None:
        """Let a prompt pass. Personal data in it is its author's own affair.

        Raises:
            Refusal: the filter or the guard finds something in it.
        """
        found = self._filter.unsafe(prompt) or await self._judged(prompt)
        if found:
            logger.info("a prompt is refused: %s", ", ".join(sorted(found)))
            raise Refusal("prompt-unsafe")

    def may_show(self, text: str) -> bool:
        """Whether a growing text has none of the words."""
        return not self._filter.unsafe(text)

    async def fault(self, generation: Generation, text: str) -> str | None:
        """Why a text is withheld: its words, personal data that nobody told, or what the guard finds."""
        found = await self.unfit(text, told="\n".join(turn.content for turn in generation.messages))
        if not found:
            return None
        logger.info("a text of generation %d is withheld: %s", generation.id, ", ".join(sorted(found)))
        return "failed-unsafe"

    async def unfit(self, text: str, *, told: str) -> frozenset[str]:
        """The categories of what is found in a text, beside the personal data that it was `told`."""
        return self._filter.unsafe(text) | self._filter.leaks(text, told=told) or await self._judged(text)

    async def _judged(self, text: str) -> frozenset[str]:
        if self._guard is None:
            return frozenset()
        try:
            return await self._guard.moderate(text)
        except EngineError as error:
            logger.warning("the guard cannot be asked: %s", type(error).__name__)
            return frozenset() if self._fails_open else frozenset({"unjudged"})
