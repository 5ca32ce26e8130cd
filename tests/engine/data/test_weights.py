"""How much each vote weighs."""

from collections import Counter

import pytest

from engine.data.rewards import SIGNAL_VALUES, SIGNAL_WEIGHTS, Vote, rating_weights, relative_tenures
from tests.support.learning.voting import votes_of


def shares(votes: list[Vote]) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for vote, weight in zip(votes, rating_weights(votes), strict=True):
        totals[vote.rater] += weight
    return {rater: total / totals.total() for rater, total in totals.items()}


def test_nobody_of_a_large_group_holds_more_than_two_per_cent():
    votes = votes_of("loud", [1.0] * 300)
    for number in range(150):
        votes += votes_of(f"quiet{number}", [-1.0, 1.0])
    assert shares(votes)["loud"] == pytest.approx(0.02)


def test_six_people_of_whom_one_rates_most_can_still_train():
    votes = votes_of("loud", [1.0] * 50)
    for number in range(5):
        votes += votes_of(f"quiet{number}", [1.0, -1.0])
    assert shares(votes)["loud"] == pytest.approx(1 / 3)
    assert sum(rating_weights(votes)) == pytest.approx(15.0)


def test_equal_raters_keep_their_full_weight():
    votes = [vote for number in range(6) for vote in votes_of(f"r{number}", [1.0] * 5)]
    assert rating_weights(votes) == (1.0,) * 30


def test_twenty_fresh_accounts_among_two_hundred_do_not_steer():
    votes = [vote for number in range(200) for vote in votes_of(f"old{number}", [1.0, -1.0])]
    for number in range(20):
        votes += votes_of(f"fresh{number}", [1.0] * 75, tenure=0.1)
    share = shares(votes)
    assert sum(share[f"fresh{number}"] for number in range(20)) == pytest.approx(20 * 0.1 * 0.02)


def test_one_chat_of_many_holds_at_most_a_quarter():
    votes = [vote for r in range(20) for vote in votes_of(f"big{r}", [1.0] * 20, chat="big")]
    for number in range(60):
        votes += votes_of(f"r{number}", [1.0] * 2, chat=f"small{number % 10}")
    weights = rating_weights(votes)
    big = sum(weight for vote, weight in zip(votes, weights, strict=True) if vote.chat == "big")
    assert big / sum(weights) == pytest.approx(0.25, abs=0.01)


def test_a_rating_of_an_own_prompt_weighs_half():
    votes = [Vote("a", "ann", "chat", 1.0, is_own=True), Vote("b", "ann", "chat", 1.0), Vote("b", "bob", "chat", 1.0)]
    weights = rating_weights(votes)
    assert weights[0] == pytest.approx(weights[1] / 2)


def community(**tenures: tuple[int, float]) -> list[Vote]:
    """So many people of each name, each with a tenure and two votes."""
    return [
        vote
        for name, (count, tenure) in tenures.items()
        for number in range(count)
        for vote in votes_of(f"{name}{number}", [1.0, -1.0], tenure=tenure)
    ]


def test_where_everybody_is_new_everybody_counts_fully():
    votes = community(new=(12, 0.1))
    assert set(relative_tenures(votes).values()) == {1.0}
    assert rating_weights(votes) == (1.0,) * 24


def test_in_a_young_community_its_elders_are_the_measure():
    tenures = relative_tenures(community(founder=(8, 0.4), guest=(8, 0.1)))
    assert tenures["founder0"] == 1.0
    assert tenures["guest0"] == pytest.approx(0.25)


@pytest.mark.parametrize("fresh", [20, 300, 1900])
def test_fresh_accounts_become_the_measure_only_at_ten_for_one(fresh):
    assert relative_tenures(community(old=(200, 1.0), fresh=(fresh, 0.1)))["fresh0"] == pytest.approx(0.1)


def test_somebody_known_for_longer_than_most_counts_no_more_than_fully():
    tenures = relative_tenures(community(most=(30, 0.5), elder=(1, 1.0)))
    assert (tenures["most0"], tenures["elder0"]) == (1.0, 1.0)


def test_what_somebody_did_counts_less_than_what_they_said_and_only_a_choice_speaks_for_a_text():
    assert {signal for signal, value in SIGNAL_VALUES.items() if 0.0 < value <= 1.0} == {"preferred"}
    assert all(-1.0 <= value < 0.0 for signal, value in SIGNAL_VALUES.items() if signal != "preferred")
    assert set(SIGNAL_WEIGHTS) == {"said", *SIGNAL_VALUES}
    assert all(SIGNAL_WEIGHTS[signal] < SIGNAL_WEIGHTS["said"] for signal in SIGNAL_VALUES)
