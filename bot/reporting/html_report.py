"""The overview: what was liked and what each run came to, as one page that needs no other file, or as numbers.

Nothing that people wrote is in it.
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.common.i18n import say
from bot.learning.nightly import run_folder
from bot.reporting.charts import WORDS, statistics_drawings, wilson_interval
from bot.reporting.export import run_object
from bot.reporting.run_messages import reason_sentence
from engine.errors import RunError
from engine.runs.config import read_config
from engine.runs.rendering import page, percent
from engine.runs.report import plots_of
from engine.runs.run_dir import read_curves
from storage.db.records import Run
from storage.tables import runs, versions
from storage.tables.statistics import RatingCount, Statistics, read_statistics

MARK = '<meta name="generator" content="ovation report">'
"""Stands near the beginning of every such page, so that it can be told from other files."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run, and what is kept of how it learned."""

    run: Run
    curves: Mapping[str, Sequence[float]]
    kl_budget: float | None

    @property
    def reason(self) -> str:
        """Why it ended as it did; empty while it is under way."""
        numbers = {"ratings": float(self.run.ratings), **self.run.numbers}
        code = self.run.reason
        return "" if code is None else reason_sentence(code, numbers, "en", candidate=f"v{self.run.id}")

    @property
    def took(self) -> str:
        """How long it took; empty while it is under way."""
        if self.run.ended_at is None:
            return ""
        seconds = (self.run.ended_at - self.run.started_at).total_seconds()
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What was liked since a moment, and the runs that began since, newest first."""

    since: datetime
    until: datetime
    champion: str | None
    statistics: Statistics
    runs: tuple[RunSummary, ...]


def overview_in(connection: sqlite3.Connection, data_dir: Path, *, since: datetime) -> Overview:
    """Read everything that the page is made of, over all chats."""
    return Overview(
        since=since, until=datetime.now(UTC), champion=versions.latest_champion(connection),
        statistics=read_statistics(connection, since=since),
        runs=tuple(_summary(run, run_folder(data_dir, run.id)) for run in runs.started_since(connection, since)),
    )  # fmt: skip


def _summary(run: Run, folder: Path) -> RunSummary:
    try:
        kl_budget = read_config(folder).kl_budget
    except RunError:
        kl_budget = None
    return RunSummary(run, read_curves(folder), kl_budget)


def page_of(overview: Overview) -> str:
    """The page, as HTML."""
    numbers = overview.statistics
    words = {name: say("en", f"chart-{name}") for name in WORDS}
    likes = sum(day.likes for day in numbers.days)
    return page(
        "bot.reporting", "overview.html.j2", mark=MARK, overview=overview, numbers=numbers, titles=words,
        heads={"versions": "Version", "kinds": "Kind", "days": "Day (UTC)"}, interval=_interval,
        liked=percent(likes / numbers.ratings) if numbers.ratings else "",
        drawings=statistics_drawings(numbers, words) if numbers.ratings else {},
        most_of_one_emoji=max((times for _, times in numbers.emoji), default=1),
        runs=[(each, plots_of(each.curves, kl_budget=each.kl_budget)) for each in overview.runs],
    )  # fmt: skip


def object_of(overview: Overview) -> dict[str, object]:
    """The same as numbers, for JSON."""
    return {
        "since": overview.since.isoformat(),
        "until": overview.until.isoformat(),
        "champion": overview.champion,
        "statistics": asdict(overview.statistics),
        "runs": [
            {
                **run_object(each.run),
                "numbers": {name: _finite(number) for name, number in each.run.numbers.items()},
                "reason_in_words": each.reason,
                "curves": {name: [_finite(number) for number in curve] for name, curve in each.curves.items()},
            }
            for each in overview.runs
        ],
    }


def _interval(count: RatingCount) -> str:
    low, high = wilson_interval(count.likes, count.ratings)
    return f"{100 * low:.0f} to {100 * high:.0f}"


def _finite(number: float) -> float | None:
    """JSON knows no other numbers."""
    return number if math.isfinite(number) else None
