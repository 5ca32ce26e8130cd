"""The morning digest: what a night has learned, what it writes now beside before, and a picture of how it is liked.

The examples answer golden prompts, so nothing that people wrote is in it. Knows a run's report and sentences; whom it
goes to is the bulletin's matter.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.common.errors import Refusal
from bot.common.plain import fitting
from bot.common.texts import say
from bot.learning.nightly import run_folder
from bot.messaging.keyboards import Keyboard, undo_button
from bot.reporting.statistics import Picture, StatisticsDesk
from bot.reporting.verdicts import verdict_sentence
from engine.errors import RunError
from engine.runs.run import Comparison, read_report
from storage.db.records import Run

_EXAMPLES = 2
_LONGEST = 300
"""Of an example, in UTF-16 units, so that the whole is one message."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in somebody's language, with its buttons."""

    words: str
    buttons: Keyboard = ()


class Digest:
    """Writes it."""

    def __init__(self, *, data_dir: Path, statistics: StatisticsDesk) -> None:
        self._data_dir = data_dir
        self._statistics = statistics

    async def letter(self, run: Run, language: str) -> Letter:
        """The verdict, for a version that serves with examples and the button that takes it back."""
        words = say(language, "digest", verdict=verdict_sentence(run, language))
        if run.version is None or run.verdict not in ("promoted", "canary"):
            return Letter(words)
        parts = [words]
        for example in await asyncio.to_thread(self._examples, run.id):
            before, after = (fitting(text, _LONGEST) for text in (example.before, example.after))
            parts.append(say(language, "digest-example", prompt=example.prompt, before=before, after=after))
        is_serving = run.reason != "approval"
        return Letter("\n\n".join(parts), undo_button(language, run.version) if is_serving else ())

    async def picture(self, language: str) -> Picture | None:
        """The last thirty days in all chats; None where nobody has rated anything."""
        try:
            return await self._statistics.picture_of(None, language)
        except Refusal:
            return None

    def _examples(self, run: int) -> Sequence[Comparison]:
        """Where the new version pleases more than the old one, by the gate's judge; none where the report is gone."""
        try:
            examples = read_report(run_folder(self._data_dir, run)).examples
        except RunError:
            return ()
        changed = [example for example in examples if example.before != example.after]
        return sorted(changed, key=lambda it: it.before_liking - it.after_liking)[:_EXAMPLES]
