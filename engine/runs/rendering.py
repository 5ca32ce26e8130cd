"""What every report is rendered with: pages by Jinja, figures by matplotlib, and numbers in words; no torch.

matplotlib takes 60 MB and Jinja some time: they are imported when something is rendered.
"""

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Paint = Callable[[Figure], None]

INK, BLUE, ORANGE, RED, GREY, LINE = "#010101", "#2f6fde", "#e69f00", "#b3372e", "#666666", "#e5e5e5"
"""matplotlib leaves pure black out of an SVG, so that the ink of a dark page could not be set."""
_ON_A_PAGE = {
    INK: "currentColor", BLUE: "var(--accent)", ORANGE: "var(--warm)", RED: "var(--bad)", GREY: "var(--quiet)",
    LINE: "var(--line)", "#000000": "currentColor",
}  # fmt: skip
"""What the colours become on a page, which may be light or dark (`templates/page.css`)."""
_SUPERFLUOUS = re.compile(r'<metadata>.*?</metadata>| id="[\w.]+_\d+"', re.DOTALL)
"""What tells of matplotlib, and names that the drawings of one page would share."""


def page(package: str, template: str, **values: object) -> str:
    """An HTML page from a template of a package; it needs no other file and may build on `page.html.j2`."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - see above

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("engine.runs")]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(percent=percent, **values)


def png(paint: "Paint", width: float, height: float, *, font_size: float = 10, fonts: Sequence[str] = ()) -> bytes:
    """A picture on white, of a size in inches of 150 dots; `fonts` are tried before matplotlib's own."""
    with _figure(paint, width, height, {"font.size": font_size, "font.family": [*fonts, "DejaVu Sans"]}) as figure:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def svg(paint: "Paint", width: float, height: float) -> str:
    """An `<svg>` for the inside of a page, in the colours and the font of that page."""
    with _figure(paint, width, height, {"font.size": 11, "svg.fonttype": "none"}) as figure:
        figure.set_facecolor("none")
        for axes in figure.axes:
            axes.set_facecolor("none")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = _SUPERFLUOUS.sub("", drawing[drawing.index("<svg") :])
    for drawn, shown in _ON_A_PAGE.items():
        drawing = drawing.replace(drawn, shown)
    return drawing


@contextmanager
def _figure(paint: "Paint", width: float, height: float, style: Mapping[str, object]) -> Iterator["Figure"]:
    from matplotlib import rc_context  # noqa: PLC0415 - see above
    from matplotlib.figure import Figure  # noqa: PLC0415

    inked = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with rc_context({**inked, **style}):  # type: ignore[dict-item]  # matplotlib wants literals for keys
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        yield figure


def dress(axes: "Axes", *, title: str = "", label: str = "", lines: Literal["x", "y", "both"] = "y") -> None:
    """Give axes the title, the label beside the values, and the light lines that all figures have."""
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(label)
    axes.grid(axis=lines, color=LINE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def percent(share: float) -> str:
    """A share in words."""
    return in_words(share, lambda: f"{100.0 * share:.{1 if 0.0 < abs(share) < 0.0995 else 0}f} %")


def points(gain: float) -> str:
    """A difference of two shares, signed."""
    return in_words(gain, lambda: f"{100.0 * gain:+.1f} points".replace("-", "\u2212") if gain else "0 points")


def in_words(number: float, said: Callable[[], str]) -> str:
    """What is said of a number, on one line, if it is one."""
    return said().replace(" ", "\N{NO-BREAK SPACE}") if math.isfinite(number) else "not a number"
