"""What reactions are worth, and how votes are weighed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from engine.reward import (
    REACTION_VALUES,
    Vote,
    label_generations,
    rater_offsets,
    rating_weights,
    value_of_reactions,
)

TELEGRAM_LIST = Path(__file__).parents[2].parent / "shared" / "telegram" / "reaction-emoji.json"


def votes_of(rater: str, values: list[float], *, tenure: float = 1.0, chat: str = "chat") -> list[Vote]:
    return [Vote(f"{rater}-{i}", rater, chat, value, tenure) for i, value in enumerate(values)]


def shares(votes: list[Vote]) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for vote, weight in zip(votes, rating_weights(votes), strict=True):
        totals[vote.rater] += weight
    return {rater: total / totals.total() for rater, total in totals.items()}


def test_all_73_reactions_have_an_entry_within_minus_one_and_one():
    assert len(REACTION_VALUES) == 73
    assert all(value is None or -1.0 <= value <= 1.0 for value in REACTION_VALUES.values())
    assert not any("\ufe0f" in emoji for emoji in REACTION_VALUES)


@pytest.mark.skipif(not TELEGRAM_LIST.is_file(), reason="Telegram's own list is not part of a user's clone")
def test_the_table_holds_exactly_the_reactions_of_telegram():
    listed = {emoji.replace("\ufe0f", "") for emoji in json.loads(TELEGRAM_LIST.read_text(encoding="utf-8"))}
    assert set(REACTION_VALUES) == listed


@pytest.mark.parametrize(
    ("emojis", "value"),
    [
        (["👍"], 1.0),
        (["❤️"], 1.0),
        (["❤"], 1.0),
        (["👎"], -1.0),
        (["🤡"], None),
        (["🤣", "🌚"], None),
        (["👍", "🤡"], 1.0),
        (["👍", "👎"], 0.0),
        (["👍", "an unknown one"], 1.0),
        ([], None),
    ],
)
def test_several_reactions_of_one_person_are_averaged_over_the_clear_ones(emojis, value):
    assert value_of_reactions(emojis) == value


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


def test_the_offset_is_the_shrunken_mean_of_the_reference():
    votes = votes_of("kind", [1.0] * 8) + votes_of("strict", [-1.0] * 8)
    # m = 0, so o = (8 + 4 * 0) / (8 + 4) - 0.
    assert rater_offsets(votes, [1.0] * 16) == {"kind": pytest.approx(8 / 12), "strict": pytest.approx(-8 / 12)}


def test_a_like_from_somebody_who_likes_everything_says_less():
    votes = votes_of("kind", [1.0] * 10) + votes_of("fair", [1.0, -1.0] * 5)
    labels = label_generations(votes)
    assert 0.0 < labels["kind-0"].value < labels["fair-0"].value


def test_an_offset_never_turns_a_like_into_a_dislike():
    votes = votes_of("kind", [1.0] * 30)
    for number in range(20):
        votes += votes_of(f"grim{number}", [-1.0] * 30)
    assert all(label_generations(votes)[f"kind-{i}"].value >= 0.0 for i in range(30))


def test_a_label_is_shrunk_by_two_pseudo_votes():
    votes = [Vote("g", f"r{number}", "chat", 1.0) for number in range(3)]
    votes += [Vote("h", f"r{number}", "chat", -1.0) for number in range(3)]
    label = label_generations(votes)["g"]
    assert (label.value, label.weight) == (pytest.approx(1.0), pytest.approx(3 / 5))


def test_votes_that_cancel_leave_a_value_of_zero():
    votes = [Vote("g", "ann", "chat", 1.0), Vote("g", "bob", "chat", -1.0)]
    votes += [Vote("h", "ann", "chat", -1.0), Vote("h", "bob", "chat", 1.0)]
    assert label_generations(votes)["g"].value == pytest.approx(0.0)


def test_no_votes_no_labels():
    assert rating_weights([]) == ()
    assert label_generations([]) == {}
