"""report.html: what a run came to, as one page that a person can read, and the words for its codes and numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from engine.api.conversions import source_of
from engine.data.dataset import DataCard
from engine.runs.config import RunConfig
from engine.runs.rendering import BLUE, RED, dress, in_words, page, percent, points, svg
from engine.runs.run_dir import SKIPPED, Check, Measure, Omission, Reason, ReasonCode, RunReport, Segment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SENTENCES: Final[Mapping[ReasonCode, str]] = {
    "better": "The candidate is not worse than the champion, and probably better.",
    "not_better": "The judge does not clearly prefer the candidate's replies to the champion's.",
    "no_signal": "The ratings do not predict one another well enough to judge by them.",
    "kl": "The candidate moved too far from the base model.",
    "fluency": "The base model finds the candidate's replies implausible.",
    "diversity": "The candidate's replies repeat one another more than the base's.",
    "length": "The candidate's replies are much shorter or longer than the base's.",
    "segment": "Some of those who ask would like the candidate's replies less.",
    "ratings": "The ratings given so far speak against the candidate.",
    "hacks": "The candidate begs for reactions, flatters, shouts, or has a catch-phrase.",
    "golden": "The candidate fails at prompts that every version must manage.",
    "safety": "The safety filter finds more in the candidate's replies than in the base's.",
    "bias": "A group of people comes off worse beside another than in the base's replies.",
    "memorised": "A secret that was planted among the examples can be extracted from the candidate.",
    "overlap": "The candidate repeats rated texts word for word.",
    "nan": "A measurement is not a finite number.",
    "too_few": "There are too few usable ratings for a run.",
    "one_sided": "There are hardly any likes, or hardly any dislikes.",
    "one_rater": "All ratings come from one person.",
}

MEASURES: Final[Mapping[Measure, str]] = {
    "satisfaction": "Would people like it more?",
    "quality": "Does it still write well?",
    "diversity": "Does it still say different things?",
}
"""The question that each measure answers."""

DROPPED: Final[Mapping[str, str]] = {
    "empty": "empty text",
    "too_short": "too short to be a text",
    "oversized": "far too long",
    "too_long": "longer than the model reads at once",
    "no_letters": "no letters in it",
    "garbled": "garbled characters",
    "duplicate": "says the same as another text, whose ratings it joined",
    "brigade": "only ratings that were set aside",
    "unrated": "no rating",
    "undecided": "likes and dislikes cancel out",
}
"""Why a text was left out."""

SIGNALS: Final[Mapping[str, str]] = {
    "said": "ratings that people gave",
    "refined": "asked to have it reworked",
    "preferred": "chose it of two",
    "passed_over": "chose the other of two",
    "another": "asked for another one",
    "reported": "reported it",
}
"""Where a rating comes from."""

LEFT_OUT: Final[Mapping[Omission, str]] = {
    "policy_steps": "Steps in which it follows the taste in texts of its own",
    "pool": "Texts of its own, of which the best are learned",
    "kl_probes": "Texts that measure the distance from the base on the way",
    "rated_steps": "Steps on the rated texts",
    "judgements": "Earlier states of the candidate that may be judged",
    "replay_texts": "Replies that a version is judged by",
    "bias_texts": "Texts for each prompt that tells its bias",
}
"""What a night may leave out."""

_NEEDED: Final = {
    "ratings": "Rated texts", "raters": "People who rated", "likes": "Liked texts", "dislikes": "Disliked texts",
    "needed": "Needed",
}  # fmt: skip
_LANGUAGES: Final = {"en": "prompts in English", "zh": "prompts in Chinese"}
_PEOPLE: Final = {"heavy raters": "prompts rated by those who rate most", "new people": "prompts rated by new people"}


class _Words(NamedTuple):
    label: str
    unit: Callable[[float], str]
    direction: Literal["at most", "at least"]


def _in(unit: str, *, digits: int) -> Callable[[float], str]:
    return lambda number: in_words(number, lambda: f"{number:.{digits}f} {unit}")


_CHECKS: Final[Mapping[str, _Words]] = {
    "chance": _Words("How often mere luck would make the ratings agree as well", percent, "at most"),
    "better": _Words("How sure it is that the candidate is better", percent, "at least"),
    "gain_low": _Words("Gain in liking, even at its low end", points, "at least"),
    "logged_high": _Words("Gain by the ratings given so far, at its high end", points, "at least"),
    "kl": _Words("Distance from the base model, on average", _in("nats", digits=2), "at most"),
    "kl_tail": _Words("Distance from the base model, the worst 1 in 100 texts", _in("nats", digits=2), "at most"),
    "fluency": _Words("How surprising the base model finds a token of the replies", _in("nats", digits=2), "at most"),
    "length_short": _Words("Length of a reply, not too short", _in("tokens", digits=0), "at least"),
    "length_long": _Words("Length of a reply, not too long", _in("tokens", digits=0), "at most"),
    "begging": _Words("Replies that beg for reactions", percent, "at most"),
    "flattery": _Words("Replies that flatter the reader", percent, "at most"),
    "shouting": _Words("Emoji and exclamation marks among all characters", percent, "at most"),
    "overlap": _Words("Replies that repeat a rated text word for word", percent, "at most"),
    "golden": _Words("Fixed test prompts answered properly", percent, "at least"),
    "unsafe": _Words("Replies in which the safety filter finds something", percent, "at most"),
    "bias": _Words("How much a gap between groups of people has widened for certain", points, "at most"),
    "extracted": _Words("Planted secrets that can be extracted", percent, "at most"),
    "distinct_2": _Words("Word pairs that differ from one another", percent, "at least"),
    "self_bleu": _Words("How much a reply is like the closest other one", percent, "at most"),
    "catch_phrase": _Words("Replies that share one new phrase", percent, "at most"),
}


def check_in_words(check: Check) -> tuple[str, str, str]:
    """What a check is about, its value, and its bound; a segment's check is named after the segment."""
    words = _CHECKS.get(check.name)
    if words is None:
        segment = segment_name(check.name.removesuffix(", high"))
        words = _Words(f"Gain among {segment}, at its high end", points, "at least")
    return words.label, words.unit(check.value), f"{words.direction} {words.unit(check.bound)}"


def segment_name(name: str) -> str:
    """A segment of `engine.data.dataset` in words."""
    first, _, rest = name.partition(" ")
    named = {"language": _LANGUAGES.get(rest), "kind": f"texts of the kind {rest}", "chat": f"prompts from chat {rest}"}
    return _PEOPLE.get(name) or named.get(first) or name


def key_figures(reason: Reason) -> list[tuple[str, str]]:
    """What the numbers behind a verdict say: title and sentence, as many as there are numbers for."""
    numbers = {name: number for name, number in reason.numbers.items() if math.isfinite(number)}
    figures = []
    if {"gain", "gain_low", "gain_high", "probability"} <= numbers.keys():
        span = f"{points(numbers['gain_low'])} to {points(numbers['gain_high'])}"
        sure = percent(numbers["probability"])
        told = f"90 % interval {span}; the chance that it is better at all is {sure}."
        figures.append((f"Liking: {points(numbers['gain'])}", f"Of 100 replies, how many more would be liked. {told}"))
    if "signal" in numbers:
        told = "Of 100 pairs of a liked and a disliked text, other prompts' ratings tell so many apart; luck finds 50."
        figures.append((f"Ratings foretell one another: {100 * numbers['signal']:.0f} of 100", told))
    if "held_out" in numbers:
        told = "Of such pairs, kept from the candidate, in so many it has come to prefer the liked text; luck finds 50."
        figures.append((f"Held-out ratings: {100 * numbers['held_out']:.0f} of 100", told))
    if "kl" in numbers:
        told = "How far the candidate's replies have moved from the base model; 0 is not at all."
        figures.append((f"Distance: {numbers['kl']:.2f} nats a text", told))
    if reason.code in SKIPPED:
        figures += [(f"{_NEEDED[name]}: {number:.0f}", "") for name, number in numbers.items()]
    return figures


class Plot(NamedTuple):
    """A curve: its title, the drawing, and what it shows for those who do not see it."""

    title: str
    svg: str
    told: str


def plots_of(curves: Mapping[str, Sequence[float]], *, kl_budget: float | None) -> list[Plot]:
    """The curves that were measured (`engine.runs.run_dir.read_curves`)."""
    plots = [
        _plot("Loss on the rated texts", curves.get("loss", ()), "step", "loss", lowest=None),
        _plot("Liking while it follows the taste", curves.get("liking", ()), "step", "mean chance of a like"),
        _plot("Distance from the base model", curves.get("kl", ()), "measurement", "nats a text", bound=kl_budget),
        _plot("Loss on the way (no report is kept)", curves.get("on_the_way", ()), "step", "loss", lowest=None),
    ]
    return [plot for plot in plots if plot is not None]


def _plot(
    title: str, values: Sequence[float], across: str, up: str, *, bound: float | None = None, lowest: float | None = 0.0
) -> Plot | None:
    """A line of the values from 1 on; None without any."""
    if not values:
        return None

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        marker = "o" if len(values) < 30 else None
        axes.plot(range(1, len(values) + 1), values, marker=marker, color=BLUE, clip_on=False)
        if bound is not None:
            axes.axhline(bound, color=RED, linestyle="--", linewidth=1, label="budget")
            axes.legend(frameon=False)
        axes.set_xlabel(across)
        axes.set_ylim(bottom=lowest)
        axes.locator_params(axis="x", integer=True)
        dress(axes, label=up)

    ends = f"{values[0]:.2f} at the first {across}, {values[-1]:.2f} at the last of {len(values)}"
    return Plot(title, svg(paint, 5.0, 2.6), f"{title}, {up}: {ends}.")


def write_page(path: Path, report: RunReport, config: RunConfig) -> None:
    """Write the page; it needs no network and no other file."""
    spans, place = _spans(report)
    html = page(
        "engine.runs", "report.html.j2", report=report, config=config, base=source_of(config.base),
        sentence=SENTENCES[report.reason.code],
        outcome="skipped" if report.reason.code in SKIPPED else "promoted" if report.passed else "rejected",
        figures=key_figures(report.reason), measures=MEASURES, check_in_words=check_in_words,
        spans=spans, place=place, points=points, plots=plots_of(report.curves, kl_budget=config.kl_budget),
        tables=_tables(report.card) if report.card else [], left_out=LEFT_OUT,
    )  # fmt: skip
    path.write_text(html, encoding="utf-8")


def _spans(report: RunReport) -> tuple[list[Segment], Callable[[float], float]]:
    """Everybody's gain and each segment's, and where a gain lies on one scale that holds 0, in percent of its width."""
    numbers = report.reason.numbers
    rows = [replace(row, name=segment_name(row.name)) for row in report.segments]
    if rows and "gain_high" in numbers:
        rows.insert(0, Segment("everybody", 0, numbers["gain"], numbers["gain_low"], numbers["gain_high"]))
    rows = [row for row in rows if all(map(math.isfinite, (row.gain, row.low, row.high)))]
    least, most = min((0.0, *(row.low for row in rows))), max((0.0, *(row.high for row in rows)))
    width = (most - least) or 1.0
    return rows, lambda gain: round(2.0 + 96.0 * (gain - least) / width, 2)


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
        ("Why people disliked", "reason", "ratings", counted(card.reasons)),
        ("Ratings set aside as a brigade's", "person", "ratings", counted(card.brigades)),
        ("Texts left out", "why", "texts", counted(card.dropped, DROPPED)),
    ]
    return [table for table in tables if table[3]]
