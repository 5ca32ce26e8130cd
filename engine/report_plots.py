"""The curves of a run as SVG drawings that take the colours of the page around them. Knows numbers, no pages."""

import io
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.run import RunReport
from engine.run_config import RunConfig

_COLOURS = {"#010101": "currentColor", "#020202": "var(--accent)", "#030303": "var(--bad)"}
"""What is drawn in the first is shown in the second, which follows the reader's light or dark page."""
_INK, _ACCENT, _BAD = _COLOURS


def plots_of(report: RunReport, config: RunConfig) -> dict[str, str]:
    """Title -> SVG, for the curves that were measured."""
    curves = report.curves
    plots = {
        "Loss on the rated texts": _plot(curves.get("loss", ()), "step", "loss", lowest=None),
        "Liking while it follows the taste": _plot(curves.get("liking", ()), "step", "mean chance of a like"),
        "Distance from the base model": _plot(
            curves.get("kl", ()), "measurement", "nats a text", bound=config.kl_budget
        ),
    }
    return {title: plot for title, plot in plots.items() if plot}


def _plot(
    values: Sequence[float], across: str, up: str, *, bound: float | None = None, lowest: float | None = 0.0
) -> str:
    """An SVG line of the values from 1 on; empty without any."""
    if not values:
        return ""
    with rc_context(
        {
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "svg.fonttype": "none",
            "font.size": 11,
        }
    ):
        figure = Figure(figsize=(5.0, 2.6), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
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
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for drawn, shown in _COLOURS.items():
        drawing = drawing.replace(drawn, shown)
    return drawing
