"""Rows on disk, and the examples made of them."""

import random
from dataclasses import replace

import pytest

from engine.chat import Message
from engine.dataset import RatedGeneration, Rating, examples_of, read_dataset, write_dataset
from engine.errors import RunError
from tests.engine.learning_fixtures import audience, rated


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = (
        rated(1, "Zeile mit \n Umbruch, \u2028 und 茶 🍵", 1.0),
        replace(rated(2, "", -0.5), ratings=(Rating("ann", -0.5), Rating("bob", 0.4, 0.1, "2026-11-01T00:00:00Z"))),
    )
    write_dataset(tmp_path / "dataset.jsonl", rows)
    assert read_dataset(tmp_path / "dataset.jsonl") == rows


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"not json", "line 2: the line"),
        (b"{}", "line 2: id"),
        (b"", "line 2: the line"),
        (b'{"id":"\xff"}', "line 2"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, line, told):
    path = tmp_path / "dataset.jsonl"
    write_dataset(path, [rated(1, "good", 1.0)])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(RunError, match=told):
        read_dataset(path)


@pytest.mark.parametrize("value", [1.5, -2.0])
def test_a_value_outside_its_range_is_refused(tmp_path, value):
    path = tmp_path / "dataset.jsonl"
    write_dataset(path, [rated(1, "good", value)])
    with pytest.raises(RunError, match="line 1: a rating"):
        read_dataset(path)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="dataset.jsonl cannot be read"):
        read_dataset(tmp_path / "dataset.jsonl")


def test_equal_answers_to_equal_prompts_become_one_with_the_ratings_of_both():
    rows = [
        rated(1, "same", 1.0, rater="ann", prompt="tea"),
        rated(2, "same", 1.0, rater="bob", prompt="tea"),
        rated(3, "same", 1.0, rater="ann", prompt="rain"),
    ]
    examples, card = examples_of(rows)
    assert [example.weight for example in examples] == [pytest.approx(2 / 4), pytest.approx(1 / 3)]
    assert card.dropped == {"duplicate": 1}


def test_of_two_ratings_by_one_person_on_the_same_text_the_later_stands():
    early, late = rated(1, "same", 1.0, prompt="tea"), rated(2, "same", -1.0, prompt="tea")
    late = replace(late, ratings=(replace(late.ratings[0], at="2026-11-02T00:00:00Z"),))
    other = rated(3, "other", 1.0, rater="bob", prompt="tea")
    for rows in ([early, late, other], [late, early, other]):
        examples, card = examples_of(rows)
        assert examples[0].value < 0.0
        assert card.ratings == 2


def test_what_says_nothing_is_dropped_with_its_reason():
    rows = [
        rated(1, "  \n", 1.0),
        replace(rated(2, "unrated", 1.0), ratings=()),
        replace(rated(3, "undecided", 1.0), ratings=(Rating("ann", 1.0), Rating("bob", -1.0))),
        replace(rated(4, "also undecided", 1.0), ratings=(Rating("ann", -1.0), Rating("bob", 1.0))),
        rated(5, "kept", 1.0, rater="bob"),
        rated(6, "kept too", -1.0, rater="bob"),
        rated(7, "and this", -1.0),
    ]
    examples, card = examples_of(rows)
    assert [example.text for example in examples] == ["kept", "kept too", "and this"]
    assert card.dropped == {"empty": 1, "unrated": 1, "undecided": 2}
    assert (card.likes, card.dislikes, card.raters) == (1, 2, 2)


def test_the_order_of_the_rows_does_not_matter():
    rows = audience(60)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert examples_of(shuffled) == examples_of(rows)


def test_texts_for_the_same_messages_share_a_group():
    examples, _ = examples_of([rated(1, "one", 1.0, prompt="tea"), rated(2, "two", -1.0, prompt="tea")])
    assert examples[0].group == examples[1].group
    joined = RatedGeneration(
        "g3", "slogan", "c", "a", "base", (Message("user", "a"), Message("user", "b")), "x", (Rating("r", 1.0),)
    )
    one = replace(joined, id="g4", messages=(Message("user", "ab"),))
    first, second = examples_of([joined, one])[0]
    assert first.group != second.group


def test_somebody_forgotten_leaves_the_same_dataset_as_if_never_there():
    rows = audience(80)
    without = [row for row in rows if row.ratings[0].rater != "rater3"]
    forgotten = [replace(r, ratings=tuple(x for x in r.ratings if x.rater != "rater3")) for r in rows]
    assert examples_of([row for row in forgotten if row.ratings]) == examples_of(without)
