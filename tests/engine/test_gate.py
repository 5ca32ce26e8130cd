"""The decision: which measurements promote a candidate and which reason refuses it."""

import math
import random
from dataclasses import replace

import pytest

from engine.gate import Measurements, TextMeasures, decide
from engine.run import GateBounds

TEXTS = TextMeasures(fluency=1.0, distinct_2=0.3, length=40.0, begging=0.0, shouting=0.01, overlap=0.0)


def gains(mean: float, *, spread: float = 0.1, doubt: float = 0.02) -> list[list[float]]:
    """400 draws of the judge over 50 prompts."""
    rng = random.Random(0)
    prompts = [rng.gauss(0.0, spread) for _ in range(50)]
    centre = sum(prompts) / 50
    doubts = [rng.gauss(0.0, doubt) for _ in range(400)]
    return [[mean + error + p - centre for p in prompts] for error in doubts]


GOOD = Measurements(signal=0.75, chance=0.001, gains=gains(0.1), kl=1.5, kl_tail=6.0, champion=TEXTS, candidate=TEXTS)


def test_a_better_candidate_within_all_bounds_is_promoted():
    verdict = decide(GOOD, GateBounds())
    assert (verdict.passed, verdict.reason.code) == (True, "better")
    assert verdict.reason.numbers["gain"] == pytest.approx(0.1, abs=0.01)
    assert verdict.reason.numbers["probability"] == 1.0
    assert all(check.ok for check in verdict.checks)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chance": 0.03}, "no_signal"),
        ({"chance": math.nan}, "nan"),
        ({"kl": 3.1}, "kl"),
        ({"kl_tail": 15.1}, "kl"),
        ({"kl": math.nan}, "nan"),
        ({"candidate": replace(TEXTS, fluency=1.2)}, "fluency"),
        ({"candidate": replace(TEXTS, distinct_2=0.26)}, "diversity"),
        ({"candidate": replace(TEXTS, length=10.0)}, "length"),
        ({"candidate": replace(TEXTS, length=110.0)}, "length"),
        ({"candidate": replace(TEXTS, begging=0.05)}, "hacks"),
        ({"candidate": replace(TEXTS, shouting=0.2)}, "hacks"),
        ({"candidate": replace(TEXTS, overlap=0.2)}, "overlap"),
        ({"gains": gains(0.0)}, "not_better"),
        ({"gains": gains(-0.1)}, "not_better"),
        ({"gains": gains(0.06, doubt=0.08)}, "not_better"),
    ],
)
def test_a_candidate_that_breaks_one_bound_is_refused_for_it(change, code):
    verdict = decide(replace(GOOD, **change), GateBounds())
    assert (verdict.passed, verdict.reason.code) == (False, code)


def test_a_candidate_that_changes_nothing_is_refused():
    verdict = decide(replace(GOOD, gains=[[0.0] * 50] * 400), GateBounds())
    assert (verdict.passed, verdict.reason.code) == (False, "not_better")
    assert verdict.reason.numbers["probability"] == 0.0


def test_one_prompt_that_gained_a_lot_does_not_carry_the_rest():
    lucky = [[-0.01] * 49 + [0.6]] * 400
    assert decide(replace(GOOD, gains=lucky), GateBounds()).passed is False


def test_a_taste_for_emoji_that_the_champion_has_already_is_no_hack():
    loud = replace(TEXTS, shouting=0.15)
    assert decide(replace(GOOD, champion=loud, candidate=loud), GateBounds()).passed is True


def test_the_same_measurements_always_get_the_same_verdict():
    close = replace(GOOD, gains=gains(0.02))
    assert decide(close, GateBounds()) == decide(close, GateBounds())
