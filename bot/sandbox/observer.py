"""What the loop is doing, read from the bot's database and run folder beside it, for the web chat's side panel.

Reads only. Knows what the panel shows, not how it is drawn.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

from bot.bulletin import share_done
from bot.charts import Satisfaction
from bot.sandbox.server import Sandbox
from engine.run import METRICS_FILE, read_progress
from storage import ratings, runs, versions
from storage.database import open_for_reading
from storage.errors import StorageError

_REFRESH_SECONDS = 2.0


class Observer:
    """Publishes the panel again and again until it is cancelled."""

    def __init__(self, sandbox: Sandbox, data_dir: Path) -> None:
        self._sandbox = sandbox
        self._data_dir = data_dir
        self.evenings: list[Satisfaction] = []
        """The evenings so far, where somebody counts them; else the panel shows satisfaction per version."""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(StorageError):  # the bot may not have made its database yet
                self._sandbox.publish_panel(await asyncio.to_thread(self._look))
            await asyncio.sleep(_REFRESH_SECONDS)

    def _look(self) -> dict[str, object]:
        connection = open_for_reading(self._data_dir / "ovation.db")
        try:
            current = ratings.current(connection)
            run = runs.running(connection)
            champion = versions.any_champion(connection)
            ended = runs.everything(connection)
        finally:
            connection.close()
        shown = self.evenings or _per_version((rating.version, rating.value) for rating in current)
        panel: dict[str, object] = {
            "version": champion,
            "ratings": len(current),
            "nights": [{"label": each.label, "satisfaction": each.share, "version": each.version} for each in shown],
            "run": None if run is None else self._progress(run.id),
        }
        if ended:
            panel["verdict"] = f"{ended[-1].verdict}: {ended[-1].version}"
        return panel

    def _progress(self, run: int) -> dict[str, object]:
        progress = read_progress(self._data_dir / "runs" / f"{run:05}" / METRICS_FILE)
        return {"stage": progress.stage if progress else "starting", "fraction": share_done(progress)}


def _per_version(rated: Iterable[tuple[str, float]]) -> list[Satisfaction]:
    """Likes and dislikes by version, in order of first appearance."""
    counts: dict[str, list[int]] = {}
    for version, value in rated:
        counts.setdefault(version, [0, 0])[value < 0] += 1
    return [Satisfaction(version, version, likes, dislikes) for version, (likes, dislikes) in counts.items()]
