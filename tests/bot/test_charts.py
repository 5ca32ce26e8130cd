"""The chart is a picture, and its intervals are Wilson's."""

from pathlib import Path

import pytest

from bot.charts import Satisfaction, draw_satisfaction, wilson_interval


@pytest.mark.parametrize(
    ("likes", "ratings", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_wilsons(likes: int, ratings: int, low: float, high: float) -> None:
    assert wilson_interval(likes, ratings) == pytest.approx((low, high), abs=1e-4)


def test_a_chart_is_drawn_also_of_an_evening_without_ratings(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    evenings = [Satisfaction("Evening 1", "starter", 0, 0), Satisfaction("Evening 2", "v1", 30, 10)]
    draw_satisfaction(evenings, file, title="Two evenings")
    assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 10_000
