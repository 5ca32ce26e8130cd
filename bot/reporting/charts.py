"""Charts, as PNG for a chat and as SVG for a page. Knows numbers and how to draw them; matplotlib is imported only when
one is drawn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from storage.tables.statistics import RatingCount, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Z = 1.96
_BLUE, _ORANGE, _GREY, _LINE = "#2f6fde", "#e69f00", "#666666", "#e5e5e5"
_ON_A_PAGE = {
    _BLUE: "var(--accent)",
    _ORANGE: "var(--warm)",
    _GREY: "var(--quiet)",
    _LINE: "var(--line)",
    "#000000": "currentColor",
}
"""What the colours become on a page that may be light or dark."""
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
)
_FEWEST_BARS, _MOST_BARS = 4, 8
WORDS = ("versions", "days", "kinds", "liked", "disliked", "ratings-axis", "satisfaction-axis")
"""What `draw_statistics` has to be told in somebody's language."""


@dataclass(frozen=True, slots=True)
class Satisfaction:
    """The ratings of one evening, all of texts by (mostly) one version."""

    label: str
    version: str
    likes: int
    dislikes: int

    @property
    def share(self) -> float:
        """Likes among the ratings; 0 when there are none."""
        return self.likes / self.ratings if self.ratings else 0.0

    @property
    def ratings(self) -> int:
        """How many there are."""
        return self.likes + self.dislikes


def wilson_interval(likes: int, ratings: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927, eq. 5; Brown, Cai & DasGupta 2001, eq. 4).

    >>> [round(bound, 3) for bound in wilson_interval(8, 10)]
    [0.49, 0.943]
    """
    if ratings == 0:
        return 0.0, 1.0
    share = likes / ratings
    centre = share + _Z**2 / (2 * ratings)
    spread = _Z * math.sqrt(share * (1 - share) / ratings + _Z**2 / (4 * ratings**2))
    scale = 1 + _Z**2 / ratings
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def draw_satisfaction(evenings: Sequence[Satisfaction], file: Path, *, title: str) -> None:
    """Draw satisfaction per evening with its 95 % interval and the version that wrote."""
    import matplotlib as mpl  # noqa: PLC0415 - 60 MB that only a chart needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.use("Agg")
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    _draw_shares(axes, evenings)
    for place, evening in enumerate(evenings):
        axes.annotate(
            f"{evening.ratings} ratings", (place, 0), (0, 6), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", color=_GREY, fontsize=8,
        )  # fmt: skip
    axes.set_xticks(range(len(evenings)), [f"{evening.label}\n{evening.version}" for evening in evenings])
    axes.set_xlim(-0.4, len(evenings) - 0.6)
    _dress(axes, title, "likes among ratings, %", "y")
    figure.savefig(file)


def can_write(words: str) -> bool:
    """Whether this machine has a font for these words; matplotlib's own has no Chinese."""
    return words.isascii() or bool(_chinese_fonts())


def draw_statistics(numbers: Statistics, words: Mapping[str, str]) -> bytes:
    """Satisfaction per version with its 95 % interval, ratings per day, and the kinds compared, for a phone's screen.

    `words` has the titles, the legend and the axes: `WORDS`.
    """
    import matplotlib as mpl  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.use("Agg")
    with mpl.rc_context({"font.family": [*_chinese_fonts(), "DejaVu Sans"], "font.size": 13}):
        versions, kinds = _rated(numbers.versions)[-_MOST_BARS:], _rated(numbers.kinds)[:_MOST_BARS]
        figure = Figure(figsize=(6, 9.5), dpi=150, layout="constrained")
        first, second, third = figure.subplots(3, 1, height_ratios=(3, 2, 0.8 + 0.35 * max(len(kinds), _FEWEST_BARS)))
        _draw_versions(first, versions, words)
        _draw_days(second, numbers.days, words)
        _draw_kinds(third, kinds, words)
        file = BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def statistics_drawings(numbers: Statistics, words: Mapping[str, str]) -> dict[str, str]:
    """What `draw_statistics` shows, as SVG drawings in the colours of the page around them: versions, days, kinds.

    Without titles, which the page has.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    from engine.runs.report import svg_style, themed_svg  # noqa: PLC0415

    versions, kinds = _rated(numbers.versions)[-_MOST_BARS:], _rated(numbers.kinds)[:_MOST_BARS]
    untitled = {**words, "versions": "", "days": "", "kinds": ""}
    pictures: dict[str, Callable[[Axes], None]] = {
        "versions": lambda axes: _draw_versions(axes, versions, untitled),
        "days": lambda axes: _draw_days(axes, numbers.days, untitled),
        "kinds": lambda axes: _draw_kinds(axes, kinds, untitled),
    }
    drawings = {}
    for name, draw in pictures.items():
        with svg_style():
            figure = Figure(figsize=(5.0, 3.2), layout="constrained")
            draw(figure.add_subplot())
            drawings[name] = themed_svg(figure, _ON_A_PAGE)
    return drawings


def _rated(counts: Sequence[RatingCount]) -> list[RatingCount]:
    return [count for count in counts if count.ratings]


def _errors(counts: Sequence[Satisfaction | RatingCount]) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Shares in percent, and how far their intervals reach below and above."""
    shares = [100 * (count.share or 0.0) for count in counts]
    bounds = [wilson_interval(count.likes, count.ratings) for count in counts]
    below = [max(0.0, share - 100 * low) for share, (low, _) in zip(shares, bounds, strict=True)]
    above = [max(0.0, 100 * high - share) for share, (_, high) in zip(shares, bounds, strict=True)]
    return shares, (below, above)


def _draw_shares(axes: "Axes", counts: Sequence[Satisfaction | RatingCount]) -> None:
    """Shares with their 95 % intervals, side by side."""
    shares, errors = _errors(counts)
    places = range(len(counts))
    axes.errorbar(places, shares, yerr=errors, fmt="o-", color=_BLUE, capsize=4, linewidth=2, markersize=7)
    for place, share, above in zip(places, shares, errors[1], strict=True):
        axes.annotate(
            f"{share:.0f} %", (place, share + above), (0, 4), textcoords="offset points", ha="center", fontweight="bold"
        )
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylim(0, 112)


def _draw_versions(axes: "Axes", versions: Sequence[RatingCount], words: Mapping[str, str]) -> None:
    _draw_shares(axes, versions)
    axes.set_xticks(range(len(versions)), [f"{version.label}\n{version.ratings}" for version in versions])
    axes.set_xlim(-0.5, len(versions) - 0.3)
    _dress(axes, words["versions"], words["satisfaction-axis"], "y")


def _draw_days(axes: "Axes", days: Sequence[RatingCount], words: Mapping[str, str]) -> None:
    places = range(len(days))
    likes = [day.likes for day in days]
    axes.bar(places, likes, color=_BLUE, label=words["liked"])
    axes.bar(places, [day.dislikes for day in days], bottom=likes, color=_ORANGE, label=words["disliked"])
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98), frameon=False, fontsize=11)
    step = max(1, math.ceil(len(days) / 5))
    axes.set_xticks(places[::step], [day.label[5:] for day in days[::step]])
    axes.set_xlim(-0.6, max(len(days), _FEWEST_BARS) - 0.4)
    axes.locator_params(axis="y", integer=True)
    _dress(axes, words["days"], words["ratings-axis"], "y")


def _draw_kinds(axes: "Axes", kinds: Sequence[RatingCount], words: Mapping[str, str]) -> None:
    shares, errors = _errors(kinds)
    places = range(len(kinds))
    axes.barh(places, shares, xerr=errors, color=_BLUE, alpha=0.75, capsize=3, height=0.6)
    axes.set_yticks(places, [f"{kind.label} ({kind.ratings})" for kind in kinds])
    axes.set_ylim(max(len(kinds), _FEWEST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel(words["satisfaction-axis"])
    _dress(axes, words["kinds"], "", "x")


def _dress(axes: "Axes", title: str, label: str, lines: Literal["x", "y"]) -> None:
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(label)
    axes.grid(axis=lines, color=_LINE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _chinese_fonts() -> list[str]:
    from matplotlib import font_manager  # noqa: PLC0415 - as above

    known = set(font_manager.get_font_names())
    return [font for font in _CHINESE_FONTS if font in known]
