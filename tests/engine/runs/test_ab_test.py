"""The test on live likes: worse versions are found soon, equal ones spared, and what hangs together counts less."""

import math
from random import Random

import pytest

from benchmarks.canary import arm_of_counts, fixed_size
from engine.runs import ab_test
from engine.runs.ab_test import LiveRating, arm_of, compare, decide, ratings_to_go

TRIALS = 100


def rolled_back(gap: float, share: float, within: int, *, liking: float = 0.65) -> int:
    """In how many of 100 trials, looked at after every rating, a canary is rolled back."""
    chance = Random(f"{gap} {share}")
    count = 0
    for _ in range(TRIALS):
        likes, ratings = [0, 0], [0, 0]
        while ratings[1] < within:
            arm = chance.random() < share
            likes[arm] += chance.random() < liking + gap * arm
            ratings[arm] += 1
            arms = (arm_of_counts(likes[side], ratings[side]) for side in (True, False))
            if arm and decide(*arms, may_promote=False, is_over=False) == "roll_back":
                count += 1
                break
    return count


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_canary_25_points_worse_is_rolled_back_within_250_ratings(share: float) -> None:
    assert rolled_back(-0.25, share, 250) >= 95


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_canary_10_points_worse_is_rolled_back_within_1500_ratings(share: float) -> None:
    assert rolled_back(-0.10, share, 1500) >= 95


@pytest.mark.parametrize(("share", "liking"), [(0.5, 0.65), (0.5, 0.95), (0.2, 0.55)])
def test_an_equal_canary_is_hardly_ever_rolled_back(share: float, liking: float) -> None:
    assert rolled_back(0.0, share, 1500, liking=liking) <= 5


def test_five_people_who_say_the_same_of_a_text_are_not_five_texts() -> None:
    alone = arm_of(LiveRating(text, text % 2 == 0) for text in range(100))
    together = arm_of(LiveRating(text // 5, text // 5 % 2 == 0) for text in range(100))
    assert (together.likes, together.ratings, together.texts) == (50, 100, 20)
    assert together.variance == pytest.approx(5 * alone.variance, rel=0.1)


def test_what_weighs_nothing_says_nothing_and_few_heavy_voices_are_few() -> None:
    brigade = [LiveRating(text, False, 0.01) for text in range(100)]
    people = [LiveRating(100 + text, text % 2 == 0) for text in range(100)]
    both = arm_of([*brigade, *people])
    assert both.liking == pytest.approx(0.5, abs=0.01)
    assert both.variance == pytest.approx(arm_of(people).variance, rel=0.1)


def test_no_ratings_are_no_evidence() -> None:
    evidence = compare(arm_of(()), arm_of_counts(0, 100))
    assert (evidence.gap, evidence.against, evidence.better) == (0.0, 0.0, 0.5)
    assert decide(arm_of(()), arm_of(()), may_promote=True, is_over=False) == "go_on"
    assert decide(arm_of(()), arm_of(()), may_promote=True, is_over=True) == "inconclusive"


def test_unanimity_of_a_few_decides_nothing() -> None:
    few, many = arm_of_counts(0, ab_test.BURN_IN_RATINGS - 1), arm_of_counts(900, 1000)
    assert decide(few, many, may_promote=True, is_over=False) == "go_on"
    assert decide(arm_of_counts(0, ab_test.BURN_IN_RATINGS), many, may_promote=True, is_over=False) == "roll_back"


def test_a_better_version_is_promoted_once_it_may_and_a_likely_one_when_time_is_up() -> None:
    good, likely, champion = arm_of_counts(80, 100), arm_of_counts(139, 200), arm_of_counts(650, 1000)
    assert decide(good, champion, may_promote=False, is_over=False) == "go_on"
    assert decide(good, champion, may_promote=True, is_over=False) == "promote"
    assert decide(likely, champion, may_promote=True, is_over=False) == "go_on"
    assert decide(likely, champion, may_promote=True, is_over=True) == "promote"
    assert decide(arm_of_counts(130, 200), champion, may_promote=True, is_over=True) == "inconclusive"


@pytest.mark.parametrize("ratings", [50, 500, 5000, 50_000])
def test_the_better_a_version_is_the_less_there_is_against_it_however_much_better(ratings: int) -> None:
    champion = arm_of_counts(0, ratings)
    against = [compare(arm_of_counts(tenth * ratings // 10, ratings), champion).against for tenth in range(11)]
    assert against == sorted(against, reverse=True) and against[0] < 0.7
    assert decide(arm_of_counts(ratings, ratings), champion, may_promote=True, is_over=False) == "promote"


def test_a_margin_forgives_a_small_deficit() -> None:
    worse, before = arm_of_counts(1100, 2000), arm_of_counts(600, 1000)
    assert compare(worse, before).against > compare(worse, before, margin=0.05).against + 3


def test_the_fewer_ratings_are_missing_the_clearer_it_is() -> None:
    def missing(likes: int) -> int:
        arms = arm_of_counts(likes, 40), arm_of_counts(260, 400)
        return ratings_to_go(*arms, least=50, is_reference_fixed=False)

    assert missing(12) <= missing(20) < missing(26) == ab_test.LONGEST_RATINGS - 40
    assert missing(38) <= 20


def test_a_fixed_test_needs_about_620_ratings_an_arm_for_ten_points() -> None:
    assert fixed_size(0.65, -0.10) == pytest.approx(620, abs=10)


def test_the_mixture_stays_at_or_below_one_on_average_without_a_deficit() -> None:
    """E is a likelihood ratio averaged over deficits: under none its mean is at most 1."""
    chance, n = Random(5), 400

    def evidence() -> float:
        arms = [arm_of_counts(sum(chance.random() < 0.6 for _ in range(n)), n) for _ in range(2)]
        return math.exp(compare(*arms).against)

    assert sum(evidence() for _ in range(400)) / 400 < 1.3
