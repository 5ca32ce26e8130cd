"""A comparison in words: rows and notes as Markdown, a table for a terminal, and JSON. Measures nothing.

The pictures of a comparison: liking night by night, and quality beside diversity.

Knows results and how to draw them; matplotlib is imported only when one is drawn.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from bot.cli.comparison import AT_ONCE, BEST_OF, GRAMMAR, JUDGE, PEOPLE, Ask, Night, Pace, Plan, Quality, Result, gain
from recipes.latent.lessons import Lessons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_NONE = "–"

_NOTES: Mapping[str, str] = {
    "parameters": "numbers in the model's weights, in millions; MB: the files on disk",
    "texts a second": f"over HTTP, one at a time / {AT_ONCE} at once, on this machine while it did what else it does",
    "ms a token": "the same, by the clock; models differ in what a token is",
    "well-formed": "share of the texts that the grammar could have written, their topics left open",
    "distinct-2": "different pairs of neighbouring words over all pairs, of as many in each row; more is more diverse",
    "self-BLEU": "how much a text is like the closest of the others, 0 to 1; less is more diverse",
    "different": "different texts among all, their topics left open",
    "in the corpus": (
        "texts that stand, their topics left open, word for word among those of the grammar from which vae or gan has"
        f" learned, for other rows among {Lessons(()).texts:,} of that kind; the grammar has few short texts, so its"
        " fresh ones, in the last row, often do"
    ),
    "nats a token": f"the {JUDGE}'s surprise at the texts, which is smallest at its own; less is more fluent",
    "liked": (
        f"mean liking by the hidden taste, % ± half of the 95 % interval, on all topics: before, and after nights in"
        f" each of which {PEOPLE} noisy people had rated texts on every second topic"
    ),
    "could be": f"mean liking of the best of {BEST_OF} texts of the base on the same topic, chosen by the taste itself",
    "gained": "of what lies between the liking before and what could be",
    "night": "how it ended, by the codes that `docs/troubleshoot.md` explains; + is a version that has served since",
}


def markdown(plan: Plan, results: Sequence[Result]) -> str:
    """The table, models as rows, with a line for what each number means."""
    rows = [_cells(plan, result) for result in results]
    heads = list(rows[0])
    lines = [
        "# Models compared",
        "",
        _told(plan),
        "",
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(row.values())} |" for row in rows),
        "",
        *(f"* **{name}**: {meaning}." for name, meaning in _NOTES.items() if _is_shown(name, heads)),
    ]
    return "\n".join(lines) + "\n"


def table(plan: Plan, results: Sequence[Result]) -> Table:
    """The same for a terminal, models side by side."""
    rows = [_cells(plan, result) for result in results]
    shown = Table(title=_told(plan), title_justify="left")
    shown.add_column("")
    for row in rows:
        shown.add_column(row["model"], justify="right")
    for head in list(rows[0])[1:]:
        shown.add_row(head, *(row[head] for row in rows))
    return shown


def as_json(plan: Plan, asks: Sequence[Ask], results: Sequence[Result]) -> str:
    """Everything that was measured, and the texts."""
    told = {
        "kind": plan.kind.name, "taste": plan.taste.name, "texts": plan.texts, "nights": plan.nights,
        "ratings": plan.ratings, "seed": plan.seed, "topics": [ask.asked.topic for ask in asks],
        "models": [asdict(result) for result in results],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def _told(plan: Plan) -> str:
    told = f"{plan.texts} texts of the kind {plan.kind.name} a model, seed {plan.seed}"
    if plan.nights:
        told += f"; each night {plan.ratings} texts rated by people whose hidden taste is “{plan.taste.name}”"
    return f"{told}."


def _is_shown(name: str, heads: Sequence[str]) -> bool:
    return any(head.startswith(name) for head in heads)


def _cells(plan: Plan, result: Result) -> dict[str, str]:
    """A row by its columns."""
    quality, size = result.shown[0].quality, result.size
    return {
        "model": result.title,
        "parameters, M": _NONE if size is None else f"{size.parameters / 1e6:.2f}",
        "MB": _NONE if size is None else f"{size.megabytes:.1f}",
        "texts a second": _two(result.alone, result.together, "texts_a_second"),
        "ms a token": _two(result.alone, result.together, "ms_a_token"),
        "well-formed": f"{quality.well_formed:.0%}",
        "distinct-2": f"{quality.distinct_2:.3f}",
        "self-BLEU": f"{quality.self_bleu:.3f}",
        "different": f"{quality.different:.0%}",
        "in the corpus": f"{quality.memorised:.0%}",
        "nats a token": f"{quality.fluency:.2f}",
        **dict(_liked(plan, result)),
    }


def _liked(plan: Plan, result: Result) -> Iterator[tuple[str, str]]:
    for night in (n for n in (0, 1, plan.nights) if n <= plan.nights):
        head = "liked before" if night == 0 else f"liked after {night}"
        yield head, _NONE if night >= len(result.shown) else _percent(result, night)
    yield "could be", _NONE if result.reachable is None else f"{100 * result.reachable:.0f}"
    for night in sorted({n for n in (1, plan.nights) if 0 < n <= plan.nights}):
        yield f"gained by {night}", _gained(result, night)
    for place in range(plan.nights):
        yield f"night {place + 1}", _ended(result.nights[place]) if result.nights else _NONE


def _ended(night: Night) -> str:
    return f"{night.reason} +" if night.has_passed else night.reason


def _percent(result: Result, night: int) -> str:
    liking = result.shown[night].liking
    return f"{100 * liking.mean:.0f} ± {100 * liking.margin:.0f}"


def _gained(result: Result, night: int) -> str:
    if result.reachable is None or night >= len(result.shown):
        return _NONE
    share = gain(result.shown[0].liking.mean, result.shown[night].liking.mean, result.reachable)
    return _NONE if share is None else f"{share:.0%}"


def _two(alone: Pace | None, together: Pace | None, what: str) -> str:
    if alone is None or together is None:
        return _NONE
    return f"{getattr(alone, what):.3g} / {getattr(together, what):.3g}"


_COLOURS = ("#2f6fde", "#d55e00", "#009e73", "#9b59b6", "#8a6d00", "#c2185b")
_GREY, _LINE = "#555555", "#e5e5e5"
_MARKERS = "osD^vP"


def draw_satisfaction(plan: Plan, results: Sequence[Result], file: Path) -> None:
    """Draw the mean liking of each model before the first night and after each, and what could be had."""
    figure = _figure(7.5, 4.5)
    axes = figure.subplots()
    for place, result in enumerate(results):
        if result.model == GRAMMAR:
            axes.axhline(
                100 * result.shown[0].liking.mean, color=_GREY, linestyle="--", linewidth=1, label=result.title
            )
            continue
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
        shift = 0.04 * (place - (len(results) - 2) / 2)  # so that the intervals do not lie on one another
        nights = [night + shift for night in range(len(result.shown))]
        liked = [100 * shown.liking.mean for shown in result.shown]
        margins = [100 * shown.liking.margin for shown in result.shown]
        axes.errorbar(
            nights, liked, yerr=margins, color=colour, marker=marker, capsize=4, linewidth=2, label=result.title
        )
        if result.reachable is not None:
            axes.axhline(100 * result.reachable, color=colour, linestyle=":", linewidth=1.5)
    axes.plot([], [], color=_GREY, linestyle=":", label=f"best of {BEST_OF} by the taste")
    axes.set_xticks(range(plan.nights + 1), ["before", *(f"night {n}" for n in range(1, plan.nights + 1))])
    axes.set_xlim(-0.4, plan.nights + 0.4)
    axes.set_ylim(0, 100)
    _dress(axes, f"Liking of {plan.kind.name}s by the taste “{plan.taste.name}”", "mean chance of a like, %")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(file)


def draw_quality(results: Sequence[Result], file: Path) -> None:
    """Draw form and fluency over diversity, each model before its nights and, hollow, after the last."""
    figure = _figure(9.5, 4.5)
    form, fluency = figure.subplots(1, 2)
    for place, result in enumerate(results):
        colour, marker = (
            (_GREY, "*")
            if result.model == GRAMMAR
            else (_COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)])
        )
        before, after = result.shown[0].quality, result.shown[-1].quality
        for axes, of in ((form, _form), (fluency, _fluency)):
            start, end = (before.distinct_2, of(before)), (after.distinct_2, of(after))
            if start != end:
                axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour})
                axes.plot(*end, marker, color=colour, markersize=10, markerfacecolor="white", label="_after")
            axes.plot(*start, marker, color=colour, markersize=10, label=result.title, linestyle="none")
    form.set_ylim(-4, 104)
    fluency.set_ylim(1.15 * max(_fluency(shown.quality) for result in results for shown in result.shown), 0)
    _dress(form, "Form", "well-formed, %")
    _dress(fluency, "Fluency, better upwards", f"nats a token, under the {JUDGE}")
    for axes in (form, fluency):
        axes.margins(x=0.15)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("distinct-2, more diverse to the right")
    handles, labels = form.get_legend_handles_labels()
    title = "hollow: after the nights" if any(result.nights for result in results) else None
    figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside lower center", title=title)
    figure.savefig(file)


def _form(quality: Quality) -> float:
    return 100 * quality.well_formed


def _fluency(quality: Quality) -> float:
    return quality.fluency


def _figure(width: float, height: float) -> "Figure":
    import matplotlib as mpl  # noqa: PLC0415 - 60 MB that only a chart needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.use("Agg")
    return Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")


def _dress(axes: "Axes", title: str, label: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(label)
    axes.grid(color=_LINE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
