"""What reactions are worth, and how votes are weighed."""

import json
from pathlib import Path

import pytest

from engine.data.rewards import (
    REACTION_VALUES,
    Vote,
    label_generations,
    rater_offsets,
    rating_weights,
    read_reaction_values,
    value_of_reactions,
)
from engine.errors import RunError
from tests.support.learning.voting import votes_of

TELEGRAM_LIST = Path(__file__).parents[3].parent / "shared" / "telegram" / "reaction-emoji.json"


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


def test_an_operator_may_think_otherwise_of_any_emoji():
    values = read_reaction_values('"❤️" = 0.5\n# ours mean it\n"🤡" = -1\n"🔥" = "none"\n')
    assert value_of_reactions(["❤"], values) == 0.5
    assert value_of_reactions(["🤡"], values) == -1.0
    assert value_of_reactions(["🔥"], values) is None
    assert value_of_reactions(["👍"], values) == 1.0


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('"👍" = 1\n"👍🏽" = 1', "line 2: '👍🏽' is not a reaction"),
        ('\n"🤡" = 1.5', "line 2: 🤡 must be a number from -1 to 1"),
        ('"🤡" = "bad"', "line 1: 🤡 must be"),
        ('"🤡" = true', "line 1: 🤡 must be"),
        ('"🤡" = nan', "line 1: 🤡 must be"),
        ('"👍" = 1\n🤡 = 1', "line 2"),
    ],
)
def test_what_is_no_opinion_on_an_emoji_is_named_by_its_line(toml, told):
    with pytest.raises(RunError, match=told):
        read_reaction_values(toml)


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


def test_what_somebody_only_did_weighs_little_and_makes_nobody_stricter():
    votes = votes_of("ann", [1.0, -1.0]) + votes_of("bob", [1.0, -1.0])
    voiced = label_generations(votes)
    done = [Vote(f"seen{i}", "ann", "chat", -0.3, signal="another") for i in range(3)]
    labels = label_generations([*votes, *done])
    assert {text: labels[text].value for text in voiced} == {text: label.value for text, label in voiced.items()}
    assert labels["seen0"].value == pytest.approx(-0.3)
    assert labels["seen0"].weight == pytest.approx(0.2 / 2.2)


def test_no_votes_no_labels():
    assert rating_weights([]) == ()
    assert label_generations([]) == {}
