"""How a comparison is shown: as Markdown with a note for each number, as a table for a terminal, JSON and pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from bot.cli.comparison import AT_ONCE, BEST_OF, GRAMMAR, JUDGE, PEOPLE, Ask, ComparisonPlan, ModelResult, Speed, gain
from engine.runs.rendering import GREY, dress, png
from recipes.latent.skeletons import CORPUS_TEXTS

if TYPE_CHECKING:
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
        f" learned, for other rows among {CORPUS_TEXTS:,} of that kind; the grammar has few short texts, so its"
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


def markdown(plan: ComparisonPlan, results: Sequence[ModelResult]) -> str:
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
        *(
            f"* **{name}**: {meaning}."
            for name, meaning in _NOTES.items()
            if any(head.startswith(name) for head in heads)
        ),
    ]
    return "\n".join(lines) + "\n"


def table(plan: ComparisonPlan, results: Sequence[ModelResult]) -> Table:
    """The same for a terminal, models side by side."""
    rows = [_cells(plan, result) for result in results]
    shown = Table(title=_told(plan), title_justify="left")
    shown.add_column("")
    for row in rows:
        shown.add_column(row["model"], justify="right")
    for head in list(rows[0])[1:]:
        shown.add_row(head, *(row[head] for row in rows))
    return shown


def as_json(plan: ComparisonPlan, asks: Sequence[Ask], results: Sequence[ModelResult]) -> str:
    """Everything that was measured, and the texts."""
    told = {
        "kind": plan.kind.name, "taste": plan.taste.name, "texts": plan.texts, "nights": plan.nights,
        "ratings": plan.ratings, "seed": plan.seed, "topics": [ask.asked.topic for ask in asks],
        "models": [asdict(result) for result in results],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def _told(plan: ComparisonPlan) -> str:
    told = f"{plan.texts} texts of the kind {plan.kind.name} a model, seed {plan.seed}"
    if plan.nights:
        told += f"; each night {plan.ratings} texts rated by people whose hidden taste is “{plan.taste.name}”"
    return f"{told}."


def _cells(plan: ComparisonPlan, result: ModelResult) -> dict[str, str]:
    """A row by its columns."""
    quality, size, alone, together = result.shown[0].quality, result.size, result.alone, result.together
    nights = sorted({1, plan.nights} & set(range(1, plan.nights + 1)))

    def speeds(of: Callable[[Speed], float]) -> str:
        return f"{of(alone):.3g} / {of(together):.3g}" if alone and together else _NONE

    return {
        "model": result.title,
        "parameters, M": f"{size.parameters / 1e6:.2f}" if size else _NONE,
        "MB": f"{size.megabytes:.1f}" if size else _NONE,
        "texts a second": speeds(lambda speed: speed.texts_a_second),
        "ms a token": speeds(lambda speed: speed.ms_a_token),
        "well-formed": f"{quality.well_formed:.0%}",
        "distinct-2": f"{quality.distinct_2:.3f}",
        "self-BLEU": f"{quality.self_bleu:.3f}",
        "different": f"{quality.different:.0%}",
        "in the corpus": f"{quality.memorised:.0%}",
        "nats a token": f"{quality.fluency:.2f}",
        "liked before": _liked(result, 0),
        **{f"liked after {night}": _liked(result, night) for night in nights},
        "could be": _NONE if result.reachable is None else f"{100 * result.reachable:.0f}",
        **{f"gained by {night}": _gained(result, night) for night in nights},
        **{f"night {night}": _ended(result, night) for night in range(1, plan.nights + 1)},
    }


def _liked(result: ModelResult, night: int) -> str:
    if night >= len(result.shown):
        return _NONE
    liking = result.shown[night].liking
    return f"{100 * liking.mean:.0f} ± {100 * liking.margin:.0f}"


def _gained(result: ModelResult, night: int) -> str:
    if result.reachable is None or night >= len(result.shown):
        return _NONE
    share = gain(result.shown[0].liking.mean, result.shown[night].liking.mean, result.reachable)
    return _NONE if share is None else f"{share:.0%}"


def _ended(result: ModelResult, night: int) -> str:
    if not result.nights:
        return _NONE
    ended = result.nights[night - 1]
    return f"{ended.reason} +" if ended.has_passed else ended.reason


_STYLES = tuple(zip(("#2f6fde", "#d55e00", "#009e73", "#9b59b6", "#8a6d00", "#c2185b"), "osD^vP", strict=True))


def _style(place: int, result: ModelResult) -> tuple[str, str]:
    """The colour and the marker of a row."""
    return (GREY, "*") if result.model == GRAMMAR else _STYLES[place % len(_STYLES)]


def draw_satisfaction(plan: ComparisonPlan, results: Sequence[ModelResult]) -> bytes:
    """The mean liking of each model before the first night and after each, and what could be had, as PNG."""

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        for place, result in enumerate(results):
            colour, marker = _style(place, result)
            liked = [100 * shown.liking.mean for shown in result.shown]
            if result.model == GRAMMAR:
                axes.axhline(liked[0], color=colour, linestyle="--", linewidth=1, label=result.title)
                continue
            shift = 0.04 * (place - (len(results) - 2) / 2)  # so that the intervals do not lie on one another
            axes.errorbar(
                [night + shift for night in range(len(liked))], liked, color=colour, marker=marker, capsize=4,
                yerr=[100 * shown.liking.margin for shown in result.shown], linewidth=2, label=result.title,
            )  # fmt: skip
            if result.reachable is not None:
                axes.axhline(100 * result.reachable, color=colour, linestyle=":", linewidth=1.5)
        axes.plot([], [], color=GREY, linestyle=":", label=f"best of {BEST_OF} by the taste")
        axes.set_xticks(range(plan.nights + 1), ["before", *(f"night {n}" for n in range(1, plan.nights + 1))])
        axes.set_xlim(-0.4, plan.nights + 0.4)
        axes.set_ylim(0, 100)
        title = f"Liking of {plan.kind.name}s by the taste “{plan.taste.name}”"
        dress(axes, title=title, label="mean chance of a like, %", lines="both")
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return png(paint, 7.5, 4.5)


def draw_quality(results: Sequence[ModelResult]) -> bytes:
    """Form and fluency over diversity, each model before its nights and, hollow, after the last, as PNG."""

    def paint(figure: "Figure") -> None:
        form, fluency = figure.subplots(1, 2)
        for place, result in enumerate(results):
            colour, marker = _style(place, result)
            before, after = result.shown[0].quality, result.shown[-1].quality
            for axes, start, end in (
                (form, 100 * before.well_formed, 100 * after.well_formed),
                (fluency, before.fluency, after.fluency),
            ):
                begin, there = (before.distinct_2, start), (after.distinct_2, end)
                if begin != there:
                    axes.annotate("", there, begin, arrowprops={"arrowstyle": "->", "color": colour})
                    axes.plot(*there, marker, color=colour, markersize=10, markerfacecolor="white", label="_after")
                axes.plot(*begin, marker, color=colour, markersize=10, label=result.title, linestyle="none")
        form.set_ylim(-4, 104)
        fluency.set_ylim(1.15 * max(shown.quality.fluency for result in results for shown in result.shown), 0)
        dress(form, title="Form", label="well-formed, %", lines="both")
        dress(fluency, title="Fluency, better upwards", label=f"nats a token, under the {JUDGE}", lines="both")
        for axes in (form, fluency):
            axes.margins(x=0.15)
            axes.locator_params(axis="x", nbins=5)
            axes.set_xlabel("distinct-2, more diverse to the right")
        handles, labels = form.get_legend_handles_labels()
        title = "hollow: after the nights" if any(result.nights for result in results) else None
        figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside lower center", title=title)

    return png(paint, 9.5, 4.5)
