"""The chart is a picture, and its intervals are Wilson's."""

import struct
from pathlib import Path

import pytest

from bot.reporting import charts
from bot.reporting.charts import WORDS, Satisfaction, can_write, draw_satisfaction, draw_statistics, wilson_interval
from storage.tables.statistics import RatingCount, Statistics


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


def test_statistics_are_drawn_for_a_phone() -> None:
    numbers = Statistics(
        versions=(RatingCount("starter", 80, 60, 50), RatingCount("v1", 70, 80, 40), RatingCount("v2", 3, 0, 0)),
        kinds=(RatingCount("slogan", 90, 90, 40), RatingCount("poem", 40, 30, 40), RatingCount("story", 3, 0, 0)),
        days=tuple(RatingCount(f"2026-11-{day:02}", 9, day, 20 - day) for day in range(1, 20)),
        emoji=(("👍", 3),),
        unnamed=(),
    )
    words = dict.fromkeys(WORDS, "words")
    png = draw_statistics(numbers, words)
    width, height = struct.unpack(">II", png[16:24])
    assert png.startswith(b"\x89PNG") and width < height < 2 * width


def test_words_without_a_font_are_known() -> None:
    assert can_write("satisfaction")
    assert can_write("满意度") is bool(charts._chinese_fonts())
