"""report.html: one self-contained page that a person can read, with the plots inside it.

Knows a report and a template. Knows nothing of models or ratings.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from engine.run import SKIPPED, ReasonCode, RunConfig, RunReport

SENTENCES: dict[ReasonCode, str] = {
    "better": "The candidate is not worse than the champion, and probably better.",
    "not_better": "The judge does not prefer the candidate's replies to the champion's.",
    "no_signal": "The ratings do not predict one another well enough to judge by them.",
    "kl": "The candidate moved too far from the base model.",
    "fluency": "The base model finds the candidate's replies implausible.",
    "diversity": "The candidate's replies repeat one another more than the champion's.",
    "length": "The candidate's replies are much shorter or longer than the champion's.",
    "hacks": "The candidate begs for reactions, or shouts.",
    "overlap": "The candidate repeats rated texts word for word.",
    "nan": "A measurement is not a finite number.",
    "too_few": "There are too few usable ratings for a run.",
    "one_sided": "There are hardly any likes, or hardly any dislikes.",
    "one_rater": "All ratings come from one person.",
}


def write_page(path: Path, report: RunReport, config: RunConfig) -> None:
    """Write the page; it needs no network and no other file."""
    environment = Environment(
        loader=PackageLoader("engine"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    plots = {
        "Loss by step": _plot(report.curves.get("loss", ()), "step", "loss"),
        "Distance from the base": _plot(
            report.curves.get("kl", ()), "measurement", "KL, nats a text", bound=config.kl_budget
        ),
    }
    outcome = "skipped" if report.reason.code in SKIPPED else "promoted" if report.passed else "rejected"
    page = environment.get_template("report.html.j2").render(
        report=report,
        config=config,
        outcome=outcome,
        sentence=SENTENCES[report.reason.code],
        plots={title: plot for title, plot in plots.items() if plot},
    )
    path.write_text(page, encoding="utf-8")


def _plot(values: Sequence[float], across: str, up: str, *, bound: float | None = None) -> str:
    """An SVG line of the values from 1 on; empty without any."""
    if not values:
        return ""
    figure = Figure(figsize=(5.0, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(values) + 1), values, marker="o" if len(values) < 30 else None, color="#3b6ea5")
    if bound is not None:
        axes.axhline(bound, color="#b5443c", linestyle="--", linewidth=1, label="budget")
        axes.legend(frameon=False)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_ylim(bottom=0.0)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    drawing = buffer.getvalue()
    return drawing[drawing.index("<svg") :]
