"""Charts as PNG files. Knows numbers and how to draw them; matplotlib is imported only when one is drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_Z = 1.96


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
    places = range(len(evenings))
    shares = [100 * evening.share for evening in evenings]
    bounds = [wilson_interval(evening.likes, evening.ratings) for evening in evenings]
    below = [max(0.0, share - 100 * low) for share, (low, _) in zip(shares, bounds, strict=True)]
    above = [max(0.0, 100 * high - share) for share, (_, high) in zip(shares, bounds, strict=True)]
    axes.errorbar(places, shares, yerr=(below, above), fmt="o-", color="#2f6fde", capsize=4, linewidth=2, markersize=7)
    for place, share, (_, high), evening in zip(places, shares, bounds, evenings, strict=True):
        axes.annotate(
            f"{share:.0f} %", (place, 100 * high), (0, 5), textcoords="offset points", ha="center", fontweight="bold"
        )
        axes.annotate(
            f"{evening.ratings} ratings", (place, 0), (0, 6), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", color="#666666", fontsize=8,
        )  # fmt: skip
    axes.set_xticks(places, [f"{evening.label}\n{evening.version}" for evening in evenings])
    axes.set_xlim(-0.4, len(evenings) - 0.6)
    axes.set_ylim(0, 100)
    axes.set_ylabel("likes among ratings, %")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(axis="y", color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
