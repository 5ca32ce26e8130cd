"""A newcomer's rating counts little, and more with every day."""

from datetime import timedelta

import pytest

from bot.learning.dataset import tenure


@pytest.mark.parametrize(
    ("days", "tenure_days", "expected"),
    [(0, 7, 0.1), (0.5, 7, 0.1), (3.5, 7, 0.5), (7, 7, 1.0), (70, 7, 1.0), (0, 0, 1.0), (-1, 7, 0.1)],
)
def test_tenure_grows_from_a_tenth_to_one(days: float, tenure_days: float, expected: float) -> None:
    assert tenure(timedelta(days=days), tenure_days=tenure_days) == pytest.approx(expected)
