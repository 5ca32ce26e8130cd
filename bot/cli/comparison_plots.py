"""The pictures of a comparison: liking night by night, and quality beside diversity.

Knows results and how to draw them; matplotlib is imported only when one is drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.comparison import BEST_OF, GRAMMAR, JUDGE, Plan, Result
from bot.cli.comparison_measures import Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
