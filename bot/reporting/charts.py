"""Charts of what is liked: as PNG for a chat, and as SVG for a page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runs.rendering import BLUE, GREY, ORANGE, dress, png, svg
from storage.tables.statistics import RatingCount, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Z = 1.96
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC", "SimHei",
)  # fmt: skip
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

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        _draw_shares(axes, evenings)
        for place, evening in enumerate(evenings):
            axes.annotate(
                f"{evening.ratings} ratings", (place, 0), (0, 6), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", color=GREY, fontsize=8,
            )  # fmt: skip
        axes.set_xticks(range(len(evenings)), [f"{evening.label}\n{evening.version}" for evening in evenings])
        axes.set_xlim(-0.4, len(evenings) - 0.6)
        dress(axes, title=title, label="likes among ratings, %")

    file.write_bytes(png(paint, 7, 4))


def draw_statistics(numbers: Statistics, words: Mapping[str, str]) -> bytes:
    """Satisfaction per version with its 95 % interval, ratings per day, and the kinds compared, for a phone's screen.

    `words` has the titles, the legend and the axes: `WORDS`.
    """
    numbers = _rated(numbers)
    heights = (3, 2, 0.8 + 0.35 * max(len(numbers.kinds), _FEWEST_BARS))

    def paint(figure: "Figure") -> None:
        for axes, draw in zip(figure.subplots(3, 1, height_ratios=heights), _PARTS.values(), strict=True):
            draw(axes, numbers, words)

    return png(paint, 6, 9.5, font_size=13, fonts=_chinese_fonts())


def statistics_drawings(numbers: Statistics, words: Mapping[str, str]) -> dict[str, str]:
    """What `draw_statistics` shows, as SVG drawings by name, without the titles, which the page has."""
    numbers, untitled = _rated(numbers), {**words, **dict.fromkeys(_PARTS, "")}

    def drawing(draw: Callable[["Axes", Statistics, Mapping[str, str]], None]) -> str:
        return svg(lambda figure: draw(figure.subplots(), numbers, untitled), 5.0, 3.2)

    return {name: drawing(draw) for name, draw in _PARTS.items()}


def _rated(numbers: Statistics) -> Statistics:
    """As many versions and kinds as a chart has room for, without those that nobody has rated."""
    versions = [count for count in numbers.versions if count.ratings][-_MOST_BARS:]
    kinds = [count for count in numbers.kinds if count.ratings][:_MOST_BARS]
    return replace(numbers, versions=tuple(versions), kinds=tuple(kinds))


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
    axes.errorbar(places, shares, yerr=errors, fmt="o-", color=BLUE, capsize=4, linewidth=2, markersize=7)
    for place, share, above in zip(places, shares, errors[1], strict=True):
        axes.annotate(
            f"{share:.0f} %", (place, share + above), (0, 4), textcoords="offset points", ha="center", fontweight="bold"
        )
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylim(0, 112)


def _draw_versions(axes: "Axes", numbers: Statistics, words: Mapping[str, str]) -> None:
    versions = numbers.versions
    _draw_shares(axes, versions)
    axes.set_xticks(range(len(versions)), [f"{version.label}\n{version.ratings}" for version in versions])
    axes.set_xlim(-0.5, len(versions) - 0.3)
    dress(axes, title=words["versions"], label=words["satisfaction-axis"])


def _draw_days(axes: "Axes", numbers: Statistics, words: Mapping[str, str]) -> None:
    days = numbers.days
    places = range(len(days))
    likes = [day.likes for day in days]
    axes.bar(places, likes, color=BLUE, label=words["liked"])
    axes.bar(places, [day.dislikes for day in days], bottom=likes, color=ORANGE, label=words["disliked"])
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98), frameon=False, fontsize=11)
    step = max(1, math.ceil(len(days) / 5))
    axes.set_xticks(places[::step], [day.label[5:] for day in days[::step]])
    axes.set_xlim(-0.6, max(len(days), _FEWEST_BARS) - 0.4)
    axes.locator_params(axis="y", integer=True)
    dress(axes, title=words["days"], label=words["ratings-axis"])


def _draw_kinds(axes: "Axes", numbers: Statistics, words: Mapping[str, str]) -> None:
    kinds = numbers.kinds
    shares, errors = _errors(kinds)
    places = range(len(kinds))
    axes.barh(places, shares, xerr=errors, color=BLUE, alpha=0.75, capsize=3, height=0.6)
    axes.set_yticks(places, [f"{kind.label} ({kind.ratings})" for kind in kinds])
    axes.set_ylim(max(len(kinds), _FEWEST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel(words["satisfaction-axis"])
    dress(axes, title=words["kinds"], lines="x")


_PARTS = {"versions": _draw_versions, "days": _draw_days, "kinds": _draw_kinds}


def can_write(words: str) -> bool:
    """Whether this machine has a font for these words; matplotlib's own has no Chinese."""
    return words.isascii() or bool(_chinese_fonts())


def _chinese_fonts() -> list[str]:
    from matplotlib import font_manager  # noqa: PLC0415 - takes long, and only a chart needs it

    known = set(font_manager.get_font_names())
    return [font for font in _CHINESE_FONTS if font in known]
