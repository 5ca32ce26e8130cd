"""What the bot is doing, read from its database and run folder beside it, for the web chat's side panel."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from heapq import nlargest
from pathlib import Path

from bot.common.i18n import LANGUAGES, say
from bot.learning.nightly import run_folder
from bot.reporting.charts import Satisfaction
from bot.reporting.run_messages import seconds_left, share_done, verdict_sentence
from bot.sandbox.server import Sandbox
from engine.runs.run_dir import METRICS_FILE, read_progress
from storage.db.database import open_for_reading
from storage.db.errors import StorageError
from storage.db.records import Run
from storage.tables import ratings, runs, versions
from storage.tables.statistics import read_statistics

_REFRESH_SECONDS = 2.0
_NEWEST = 5
_EVER = datetime.min.replace(tzinfo=UTC)


class Observer:
    """Publishes the panel again and again until it is cancelled."""

    def __init__(self, sandbox: Sandbox, data_dir: Path) -> None:
        self._sandbox = sandbox
        self.data_dir = data_dir
        self.evenings: list[Satisfaction] = []
        """The evenings so far, where somebody counts them."""
        self.share = 0.0
        """How much of the present run was done when it was looked at last, 0 to 1."""

    def activity(self) -> tuple[int, ...]:
        """Something that changes whenever a run goes on."""
        metrics = self.data_dir.glob(f"runs/*/{METRICS_FILE}")
        return tuple(sorted(file.stat().st_size for file in metrics))

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(StorageError):  # the bot may not have made its database yet
                self._sandbox.publish_panel(await asyncio.to_thread(self.look))
            await asyncio.sleep(_REFRESH_SECONDS)

    def look(self) -> dict[str, object]:
        """The panel as `WebChat.publish_panel` takes it.

        Raises:
            StorageError: there is no database yet.
        """
        with contextlib.closing(open_for_reading(self.data_dir / "ovation.db")) as connection:
            counted = read_statistics(connection, since=_EVER)
            newest = nlargest(_NEWEST, ratings.current(connection), key=lambda rating: rating.at)
            champion = versions.latest_champion(connection)
            run = runs.running(connection)
            ended = runs.ended(connection)
        return {
            "version": champion,
            "ratings": counted.ratings,
            "texts": counted.texts,
            "newest": [{"emoji": e.emoji, "kind": e.kind, "text": e.generation, "version": e.version} for e in newest],
            "versions": [{"name": e.label, "share": e.share, "ratings": e.ratings} for e in counted.versions],
            "evenings": [{"share": each.share, "version": each.version} for each in self.evenings],
            "run": None if run is None else self._progress(run),
            "verdict": _in_each_language(partial(verdict_sentence, ended[-1])) if ended else None,
        }

    def _progress(self, run: Run) -> dict[str, object]:
        progress = read_progress(run_folder(self.data_dir, run.id) / METRICS_FILE)
        share = self.share = share_done(progress)
        stage = f"stage-{progress.stage if progress else 'starting'}"
        return {
            "stage": _in_each_language(lambda language: say(language, stage)),
            "share": share,
            "seconds_left": seconds_left(run, share),
        }


def _in_each_language(sentence: Callable[[str], str]) -> dict[str, str]:
    return {language: sentence(language) for language in LANGUAGES}
