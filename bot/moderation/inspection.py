"""The inspection: what a finished text must pass before anybody sees it. Knows texts, not what is looked for.

Each inspector is one reason to withhold a text: the safety filter, the overlap with other people's texts.
"""

from collections.abc import Sequence
from typing import Protocol

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
