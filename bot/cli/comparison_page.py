"""A comparison in words: rows and notes as Markdown, a table for a terminal, and JSON. Measures nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from bot.cli.comparison import BEST_OF, JUDGE, Plan, Result
from bot.cli.comparison_asks import AT_ONCE, Ask, Pace
from bot.cli.comparison_measures import gain
from bot.cli.comparison_nights import PEOPLE, Night
from recipes.latent.lessons import Lessons

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
