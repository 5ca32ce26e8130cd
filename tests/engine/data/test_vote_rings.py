"""Who is set aside as a brigade, and who is not."""

import random
from dataclasses import replace

import pytest

from engine.data.rewards import Vote
from engine.data.vote_rings import in_vote_rings

DAY = 86_400.0


def crowd(
    name: str, count: int, *, tenure: float, seed: int = 0, right: float = 0.75, share: float = 0.2
) -> list[Vote]:
    """Honest people who rate a share of a hundred texts, of which every second one is good."""
    rng = random.Random(f"{name} {seed}")
    votes = []
    for number in range(count):
        for text in range(100):
            if rng.random() < share:
                value = 1.0 if (rng.random() < right) == (text % 2 == 0) else -1.0
                votes.append(Vote(f"text{text}", f"{name}{number}", "chat", value, tenure, at=rng.uniform(0.0, DAY)))
    return votes


def push(count: int, texts: range, *, tenure: float = 0.1, apart: float = 60.0) -> list[Vote]:
    """Accounts that like the same texts, each account so much later than the one before."""
    return [
        Vote(f"text{text}", f"pusher{number}", "chat", 1.0, tenure, at=number * apart)
        for number in range(count)
        for text in texts
    ]


BAD = range(1, 31, 2)
UNSEEN = range(200, 215)
OLD = crowd("old", 60, tenure=1.0)


def set_aside(votes: list[Vote]) -> list[Vote]:
    return [vote for vote, aside in zip(votes, in_vote_rings(votes), strict=True) if aside]


@pytest.mark.parametrize("texts", [BAD, UNSEEN])
def test_twenty_fresh_accounts_that_push_the_same_texts_are_set_aside(texts):
    pushes = push(20, texts)
    assert len(set_aside(OLD + pushes)) >= 0.9 * len(pushes)


def test_what_a_member_says_on_its_own_or_with_everybody_else_still_counts():
    alone = Vote("text40", "pusher3", "chat", 1.0, 0.1, at=0.0)
    with_all = [Vote("text42", f"pusher{number}", "chat", 1.0, 0.1, at=0.0) for number in range(20)]
    aside = set_aside([*OLD, *push(20, UNSEEN), alone, *with_all])
    assert len(aside) == 20 * 15
    assert {vote.generation for vote in aside} == {f"text{number}" for number in UNSEEN}


@pytest.mark.parametrize("seed", range(3))
def test_honest_newcomers_are_not_a_brigade(seed):
    newcomers = crowd("new", 30, tenure=0.1, seed=seed, share=0.3)
    assert len(set_aside(OLD + newcomers)) <= 0.02 * len(newcomers)


@pytest.mark.parametrize("seed", range(3))
def test_newcomers_with_texts_of_their_own_who_agree_because_the_texts_are_plain_are_not_a_brigade(seed):
    old = crowd("old", 60, tenure=1.0, right=0.95)
    theirs = crowd("new", 20, tenure=0.1, seed=seed, right=0.95, share=0.5)
    newcomers = [replace(vote, generation=f"their {vote.generation}") for vote in theirs]
    assert len(set_aside(old + newcomers)) <= 0.02 * len(newcomers)


def test_where_everybody_is_new_nobody_is_set_aside():
    votes = [replace(vote, tenure=0.1) for vote in OLD + push(20, UNSEEN)]
    assert set_aside(votes) == []


@pytest.mark.parametrize(
    "pushes",
    [push(4, UNSEEN), push(20, range(200, 202)), push(20, UNSEEN, tenure=0.8), push(20, UNSEEN, apart=DAY + 1.0)],
    ids=["four accounts", "two texts", "known for long", "never on one day"],
)
def test_what_is_too_little_for_a_brigade_is_left_to_the_caps(pushes):
    assert set_aside(OLD + pushes) == []


def test_the_order_of_the_votes_does_not_matter():
    votes = OLD + push(20, BAD) + crowd("new", 10, tenure=0.1)
    shuffled = random.Random(1).sample(votes, len(votes))
    assert sorted(map(repr, set_aside(shuffled))) == sorted(map(repr, set_aside(votes)))


def test_no_votes_no_brigade():
    assert in_vote_rings([]) == ()
