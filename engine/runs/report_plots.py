"""The curves of a run as SVG drawings that take the colours of the page around them. Knows numbers, no pages."""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_COLOURS = {"#010101": "currentColor", "#020202": "var(--accent)", "#030303": "var(--bad)"}
"""What is drawn in the first is shown in the second, which follows the reader's light or dark page."""
_INK, _ACCENT, _BAD = _COLOURS

_SUPERFLUOUS = re.compile(r'<metadata>.*?</metadata>| id="[\w.]+_\d+"', re.DOTALL)
"""What tells of matplotlib, and names that the drawings of one page would share."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A curve: its title, the drawing, and what it shows for those who do not see it."""

    title: str
    svg: str
    told: str


def plots_of(curves: Mapping[str, Sequence[float]], *, kl_budget: float | None) -> list[Plot]:
    """The curves that were measured (`engine.runs.run.read_curves`)."""
    plots = [
        _plot("Loss on the rated texts", curves.get("loss", ()), "step", "loss", lowest=None),
        _plot("Liking while it follows the taste", curves.get("liking", ()), "step", "mean chance of a like"),
        _plot("Distance from the base model", curves.get("kl", ()), "measurement", "nats a text", bound=kl_budget),
        _plot("Loss on the way (no report is kept)", curves.get("on_the_way", ()), "step", "loss", lowest=None),
    ]
    return [plot for plot in plots if plot is not None]


def svg_style() -> AbstractContextManager[None]:
    """How a figure for `themed_svg` is to be drawn."""
    return rc_context(
        {
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "svg.fonttype": "none",
            "font.size": 11,
        }
    )


def themed_svg(figure: Figure, colours: Mapping[str, str] = _COLOURS) -> str:
    """A figure as an `<svg>` for the inside of a page; `colours` says what each colour becomes there."""
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = _SUPERFLUOUS.sub("", drawing[drawing.index("<svg") :])
    for drawn, shown in {**_COLOURS, **colours}.items():
        drawing = drawing.replace(drawn, shown)
    return drawing


def _plot(
    title: str, values: Sequence[float], across: str, up: str, *, bound: float | None = None, lowest: float | None = 0.0
) -> Plot | None:
    """A line of the values from 1 on; None without any."""
    if not values:
        return None
    with svg_style():
        figure = Figure(figsize=(5.0, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(
            range(1, len(values) + 1), values, marker="o" if len(values) < 30 else None, color=_ACCENT, clip_on=False
        )
        if bound is not None:
            axes.axhline(bound, color=_BAD, linestyle="--", linewidth=1, label="budget")
            axes.legend(frameon=False)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_ylim(bottom=lowest)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        drawing = themed_svg(figure)
    ends = f"{values[0]:.2f} at the first {across}, {values[-1]:.2f} at the last of {len(values)}"
    return Plot(title, drawing, f"{title}, {up}: {ends}.")
