"""report.html: one self-contained page that a person can read, with the plots inside it.

Knows a report, a template and words for both. Knows nothing of models or ratings.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.data.data_card import DataCard
from engine.runs.report_plots import plots_of
from engine.runs.report_words import (
    DISLIKES,
    DROPPED,
    MEASURES,
    SENTENCES,
    SIGNALS,
    CheckLine,
    check_line,
    key_figures,
    percent,
    points,
    segment_name,
)
from engine.runs.run import SKIPPED, RunReport, Segment
from engine.runs.run_config import RunConfig


@dataclass(frozen=True, slots=True)
class _Span:
    """A gain with its interval, and where they lie on a common scale, in percent of its width."""

    name: str
    prompts: str
    says: str
    at: float
    low: float
    high: float
    zero: float


def write_page(path: Path, report: RunReport, config: RunConfig) -> None:
    """Write the page; it needs no network and no other file."""
    environment = Environment(
        loader=PackageLoader("engine.runs"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    outcome = "skipped" if report.reason.code in SKIPPED else "promoted" if report.passed else "rejected"
    page = environment.get_template("report.html.j2").render(
        report=report,
        config=config,
        outcome=outcome,
        sentence=SENTENCES[report.reason.code],
        figures=key_figures(report.reason),
        broken=[check_line(check) for check in report.checks if not check.ok],
        groups=_groups(report),
        spans=_spans(report),
        plots=plots_of(report.curves, kl_budget=config.kl_budget),
        tables=_tables(report.card) if report.card else [],
        percent=percent,
    )
    path.write_text(page, encoding="utf-8")


def _groups(report: RunReport) -> dict[str, tuple[str, list[CheckLine]]]:
    """Measure -> its question and its checks, as far as any were made."""
    lines = {
        measure: (question, [check_line(check) for check in report.checks if check.measure == measure])
        for measure, question in MEASURES.items()
    }
    return {measure.capitalize(): group for measure, group in lines.items() if group[1]}


def _spans(report: RunReport) -> list[_Span]:
    """Everybody's gain and each segment's, on one scale that holds 0."""
    numbers = report.reason.numbers
    everybody = (
        [Segment("everybody", 0, numbers["gain"], numbers["gain_low"], numbers["gain_high"])]
        if "gain_high" in numbers
        else []
    )
    rows = [row for row in (*everybody, *report.segments) if all(map(math.isfinite, (row.gain, row.low, row.high)))]
    if not report.segments or not rows:
        return []
    least, most = min(0.0, *(row.low for row in rows)), max(0.0, *(row.high for row in rows))
    width = (most - least) or 1.0

    def place(gain: float) -> float:
        return round(2.0 + 96.0 * (gain - least) / width, 2)

    return [
        _Span(
            name=segment_name(row.name),
            prompts=str(row.prompts or "all"),
            says=f"{points(row.gain)} ({points(row.low)} to {points(row.high)})",
            at=place(row.gain),
            low=place(row.low),
            high=place(row.high),
            zero=place(0.0),
        )
        for row in rows
    ]


def _tables(card: DataCard) -> list[tuple[str, str, str, dict[str, str]]]:
    """The card's tables that have rows: title, the heads of the two columns, and the rows."""

    def counted(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> dict[str, str]:
        ranked = sorted(counts.items(), key=lambda item: -item[1])
        return {(words or {}).get(name, name.replace("_", " ")): str(count) for name, count in ranked if count}

    picked = {
        "as the model wrote it" if n == "1" else f"best of {n}": str(count)
        for n, count in sorted(card.best_of.items(), key=lambda item: int(item[0]))
    }
    tables = [
        ("Who rated", "person", "share of the weight", {who: percent(part) for who, part in card.rater_shares.items()}),
        ("Kinds", "kind", "texts", counted(card.kinds)),
        ("Versions that wrote them", "version", "texts", counted(card.versions)),
        ("Chats", "chat", "texts", counted(card.by_chat)),
        ("Chosen from several", "how", "texts", picked),
        ("Where the ratings come from", "signal", "ratings", counted(card.signals, SIGNALS)),
        ("Why people disliked", "reason", "ratings", counted(card.reasons, DISLIKES)),
        ("Ratings set aside as a brigade's", "person", "ratings", counted(card.brigades)),
        ("Texts left out", "why", "texts", counted(card.dropped, DROPPED)),
    ]
    return [table for table in tables if table[3]]
