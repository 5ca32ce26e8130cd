"""Importance weights: right where they can be worked out by hand, silent where they would say nothing."""

import math

import pytest

from engine.runs.promotion_gate import FEWEST_TEXTS, estimate


def test_equal_policies_change_nothing():
    values = [1.0, -1.0] * 20
    told = estimate([0.0] * 40, values)
    assert told is not None
    assert (told.gain, told.effective_share) == (pytest.approx(0.0), pytest.approx(1.0))
    assert told.low == pytest.approx(0.0)
    assert told.high == pytest.approx(0.0)


def test_liked_texts_that_are_twice_as_likely_gain_a_third():
    """Weights 2 and 1: the weighted mean is (2 - 1) / 3, the plain one 0; the effective share (3/2)^2 / (5/2)."""
    told = estimate([math.log(2.0), 0.0] * 50, [1.0, -1.0] * 50)
    assert told is not None
    assert told.gain == pytest.approx(1.0 / 3.0)
    assert told.effective_share == pytest.approx(0.9)
    assert told.low < told.gain < told.high


def test_the_interval_narrows_with_the_root_of_the_texts():
    def width(count: int) -> float:
        told = estimate([math.log(2.0), 0.0] * count, [1.0, 1.0, -1.0, -1.0] * (count // 2))
        assert told is not None
        return told.high - told.low

    assert width(400) == pytest.approx(width(100) / 2.0, rel=0.01)


def test_few_texts_and_far_policies_are_not_told_of():
    assert estimate([0.0] * (FEWEST_TEXTS - 1), [1.0] * (FEWEST_TEXTS - 1)) is None
    assert estimate([8.0, *[0.0] * 99], [1.0] * 100) is None  # one text has nearly all the weight
