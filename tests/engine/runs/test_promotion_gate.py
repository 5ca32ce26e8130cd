"""The decision: which measurements promote a candidate and which reason refuses it."""

import math
import random
from dataclasses import replace

import pytest

from engine.runs.config import GateBounds
from engine.runs.promotion_gate import Estimate, GoldenPairs, Measurements, Memorisation, TextMeasures, decide

TEXTS = TextMeasures(
    fluency=1.0, distinct_2=0.3, length=40.0, self_bleu=0.4, begging=0.0, flattery=0.0, phrases={"a cup of tea": 0.08},
    shouting=0.01, overlap=0.0,
)  # fmt: skip
EVERYBODY = [f"person {number % 25}" for number in range(50)]


def gains(mean: float, *, spread: float = 0.1, doubt: float = 0.02) -> list[list[float]]:
    """400 draws of the judge over 50 prompts."""
    rng = random.Random(0)
    prompts = [rng.gauss(0.0, spread) for _ in range(50)]
    centre = sum(prompts) / 50
    doubts = [rng.gauss(0.0, doubt) for _ in range(400)]
    return [[mean + error + p - centre for p in prompts] for error in doubts]


GOOD = Measurements(
    signal=0.75, chance=0.001, gains=gains(0.1), people=EVERYBODY, segments=[("kind poem",)] * 50, held_out=0.6,
    logged=None, kl=1.5, kl_tail=6.0, golden=GoldenPairs(36, 30, 2, 2), base=TEXTS, candidate=TEXTS,
)  # fmt: skip


def test_a_better_candidate_within_all_bounds_is_promoted():
    verdict = decide(GOOD, GateBounds())
    assert (verdict.passed, verdict.reason.code) == (True, "better")
    assert verdict.reason.numbers["gain"] == pytest.approx(0.1, abs=0.01)
    assert verdict.reason.numbers["probability"] == 1.0
    assert all(check.ok for check in verdict.checks)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chance": 0.06}, "no_signal"),
        ({"chance": math.nan}, "nan"),
        ({"kl": 3.1}, "kl"),
        ({"kl_tail": 15.1}, "kl"),
        ({"kl": math.nan}, "nan"),
        ({"candidate": replace(TEXTS, fluency=1.2)}, "fluency"),
        ({"candidate": replace(TEXTS, distinct_2=0.26)}, "diversity"),
        ({"candidate": replace(TEXTS, length=10.0)}, "length"),
        ({"candidate": replace(TEXTS, length=110.0)}, "length"),
        ({"candidate": replace(TEXTS, self_bleu=0.51)}, "diversity"),
        ({"candidate": replace(TEXTS, begging=0.05)}, "hacks"),
        ({"candidate": replace(TEXTS, flattery=0.06)}, "hacks"),
        ({"candidate": replace(TEXTS, phrases={"tea is all you": 0.12})}, "hacks"),
        ({"candidate": replace(TEXTS, phrases={"a cup of tea": 0.25})}, "hacks"),
        ({"golden": GoldenPairs(36, 30, 9, 0)}, "golden"),
        ({"unsafe": (0.01, 0.03)}, "safety"),
        ({"bias": 0.06}, "bias"),
        ({"memorisation": Memorisation(0.34, 8.0)}, "memorised"),
        ({"logged": Estimate(gain=-0.3, low=-0.5, high=-0.1, effective_share=0.4)}, "ratings"),
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


def test_a_taste_for_emoji_that_the_base_has_already_is_no_hack():
    loud = replace(TEXTS, shouting=0.15)
    assert decide(replace(GOOD, base=loud, candidate=loud), GateBounds()).passed is True


def test_the_same_measurements_always_get_the_same_verdict():
    close = replace(GOOD, gains=gains(0.02))
    assert decide(close, GateBounds()) == decide(close, GateBounds())


def test_a_phrase_that_the_base_has_as_well_is_no_catch_phrase():
    after = replace(TEXTS, phrases={"a cup of tea": 0.2})
    assert decide(replace(GOOD, candidate=after), GateBounds()).passed is True


def test_logged_ratings_that_are_for_it_do_not_promote():
    kind = Estimate(gain=0.5, low=0.3, high=0.7, effective_share=0.5)
    assert decide(replace(GOOD, gains=gains(-0.1), logged=kind), GateBounds()).reason.code == "not_better"


def test_a_segment_that_loses_for_certain_refuses_a_gain_on_the_whole():
    segments = [("language zh",) if prompt < 12 else ("language en",) for prompt in range(50)]
    row = [-0.2 if prompt < 12 else 0.3 for prompt in range(50)]
    verdict = decide(replace(GOOD, gains=[row] * 400, segments=segments), GateBounds())
    assert (verdict.passed, verdict.reason.code) == (False, "segment")
    assert {(each.name, each.prompts) for each in verdict.segments} == {("language zh", 12), ("language en", 38)}


def test_small_segments_and_everybody_are_none():
    segments = [("chat a", "few") if prompt < 5 else ("chat a",) for prompt in range(50)]
    assert decide(replace(GOOD, segments=segments), GateBounds()).segments == ()


def test_one_person_who_asked_a_lot_is_one_person():
    """Forty prompts of one person gain, ten of nine others do not: the interval is as wide as for ten people."""
    people = ["busy"] * 40 + [f"person {number % 9}" for number in range(10)]
    rows = [[0.1] * 40 + [-0.1] * 10] * 400
    clustered = decide(replace(GOOD, gains=rows, people=people), GateBounds())
    assert clustered.passed is False
    assert clustered.reason.numbers["gain_low"] < -0.05


@pytest.mark.parametrize(
    ("pairs", "passes"),
    [
        (GoldenPairs(asked=54, base=48, lost=20, gained=1), False),
        (GoldenPairs(asked=54, base=20, lost=20, gained=20), True),  # another seed of the same model
        (GoldenPairs(asked=54, base=48, lost=5, gained=0), True),  # what chance may do, and less than 10 points
        (GoldenPairs(asked=300, base=290, lost=20, gained=0), True),  # certain, and a small loss
        (GoldenPairs(asked=0, base=0, lost=0, gained=0), True),  # the base manages nothing to be lost
    ],
)
def test_golden_prompts_refuse_what_has_lost_much_for_certain(pairs, passes):
    result = decide(replace(GOOD, golden=pairs), GateBounds())
    assert result.passed is passes
    assert result.reason.code == ("better" if passes else "golden")


def test_golden_prompts_hardly_ever_refuse_a_model_that_has_not_changed():
    chance = random.Random(5)
    refused = 0
    for _ in range(4000):
        abilities = [chance.betavariate(0.6, 0.6) for _ in range(18)]
        base, again = ([chance.random() < ability for ability in abilities * 3] for _ in range(2))
        pairs = GoldenPairs(
            asked=54,
            base=sum(base),
            lost=sum(a and not b for a, b in zip(base, again, strict=True)),
            gained=sum(b and not a for a, b in zip(base, again, strict=True)),
        )
        refused += pairs.share < pairs.least_share(0.1)
    assert refused / 4000 < 0.01
