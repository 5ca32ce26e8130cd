"""Rows on disk, and the examples made of them."""

import random
from dataclasses import replace

import pytest

from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating, examples_of, read_dataset, write_dataset
from engine.errors import RunError
from engine.safety.filter import load_filter
from tests.support.learning.learning_fixtures import audience, rated


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = (
        rated(1, "Zeile mit \n Umbruch, \u2028\u2029\x85\x0b\x1c\f\r und 茶 🍵", 1.0),
        replace(rated(2, "", -0.5), ratings=(Rating("ann", -0.5), Rating("bob", 0.4, 0.1, "2026-11-01T00:00:00Z"))),
    )
    write_dataset(tmp_path / "dataset.jsonl", rows)
    assert read_dataset(tmp_path / "dataset.jsonl") == rows
    assert len((tmp_path / "dataset.jsonl").read_text(encoding="utf-8").splitlines()) == 2, "to every reader"


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
        rated(8, "and that", 1.0),
    ]
    examples, card = examples_of(rows)
    assert [example.text for example in examples] == ["kept", "kept too", "and this", "and that"]
    assert card.dropped == {"empty": 1, "unrated": 1, "undecided": 2}
    assert (card.likes, card.dislikes, card.raters) == (2, 2, 2)


def test_the_order_of_the_rows_does_not_matter():
    rows = audience(60)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert examples_of(shuffled) == examples_of(rows)


def test_texts_for_the_same_messages_share_a_group():
    examples, _ = examples_of([rated(1, "one", 1.0, prompt="tea"), rated(2, "two", -1.0, prompt="tea")])
    assert examples[0].group == examples[1].group
    joined = RatedGeneration(
        "g3", "slogan", "c", "a", "base", (Message("user", "a"), Message("user", "b")), "xyz", (Rating("r", 1.0),)
    )
    one = replace(joined, id="g4", messages=(Message("user", "ab"),))
    first, second = examples_of([joined, one])[0]
    assert first.group != second.group


def test_somebody_forgotten_leaves_the_same_dataset_as_if_never_there():
    rows = audience(80)
    without = [row for row in rows if row.ratings[0].rater != "rater3"]
    forgotten = [replace(r, ratings=tuple(x for x in r.ratings if x.rater != "rater3")) for r in rows]
    assert examples_of([row for row in forgotten if row.ratings]) == examples_of(without)


LONG = "The kettle sings, the rain comes down, and all the lamps are lit in town."


def test_nearly_equal_answers_to_one_prompt_become_one_and_to_another_prompt_stay():
    rows = [
        rated(1, LONG, 1.0, rater="ann", prompt="tea"),
        rated(2, LONG + "!", 1.0, rater="bob", prompt="tea"),
        rated(3, LONG + "!", 1.0, rater="ann", prompt="rain"),
    ]
    examples, card = examples_of(rows)
    assert [(example.text, example.raters) for example in examples] == [(LONG, ("ann", "bob")), (LONG + "!", ("ann",))]
    assert card.dropped == {"duplicate": 1}


def test_what_was_said_stands_against_what_was_done_later():
    said = rated(1, "the text", 1.0).ratings[0]
    done = replace(said, value=-0.3, signal="another", at="2026-11-03T00:00:00Z")
    reported = replace(done, value=-1.0, signal="reported", at="2026-11-02T00:00:00Z")
    other = rated(9, "another one", -1.0)
    for ratings in ([said, done], [done, said]):
        examples, card = examples_of([replace(rated(1, "the text", 1.0), ratings=tuple(ratings)), other])
        assert examples[0].value > 0.0
        assert card.signals == {"said": 2}
    _, card = examples_of([replace(rated(1, "the text", 1.0), ratings=(reported, done))])
    assert card.signals == {"reported": 1}


def test_an_example_knows_whom_and_where_it_comes_from():
    row = replace(
        rated(1, "the text", 1.0, chat="tea"),
        ratings=(Rating("bob", 1.0, at="2026-11-02T00:00:00Z"), Rating("ann", 0.5, at="2026-11-03T00:00:00Z")),
        best_of=4,
    )
    (example,), card = examples_of([row])
    assert (example.raters, example.author, example.chat, example.kind) == (("ann", "bob"), "author", "tea", "slogan")
    assert (example.version, example.at, example.best_of) == ("base", "2026-11-03T00:00:00Z", 4)
    assert (card.best_of, card.versions, card.by_chat) == ({"4": 1}, {"base": 1}, {"tea": 1})


def test_the_card_tells_who_weighs_how_much_and_why_people_dislike():
    rows = [
        replace(
            rated(number, f"text {number}", -1.0),
            ratings=(
                Rating("a-long-pseudonym", -1.0, reason="boring" if number % 2 else ""),
                Rating("bob", 1.0, tenure=0.2),
            ),
        )
        for number in range(6)
    ]
    _, card = examples_of(rows)
    assert card.rater_shares == {"a-long-p": pytest.approx(5 / 6), "bob": pytest.approx(1 / 6)}
    assert card.reasons == {"boring": 3}
    assert card.newcomers == 1
    assert card.like_share == 0.0


def test_a_brigade_is_left_out_of_the_labels_and_listed():
    rows = []
    for number in range(15):
        ratings = [Rating(f"old{i}", -1.0 if (i + number) % 4 else 1.0) for i in range(8)]
        ratings += [Rating(f"push{i:02}", 1.0, 0.1, "2026-11-02T00:00:00Z") for i in range(20)]
        rows.append(replace(rated(number, f"bad text {number}", 1.0), ratings=tuple(ratings)))
    pushed = replace(rated(99, "seen by them alone", 1.0), ratings=rows[0].ratings[8:])
    examples, card = examples_of([*rows, pushed])
    assert len(examples) == 15
    assert all(example.value < 0.0 and len(example.raters) == 8 for example in examples)
    assert card.brigades == {f"push{i:02}": 16 for i in range(20)}
    assert (card.set_aside, card.dropped) == (320, {"brigade": 1})


@pytest.mark.parametrize("at", ["yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(tmp_path, at):
    row = rated(1, "good", 1.0)
    write_dataset(tmp_path / "dataset.jsonl", [replace(row, ratings=(replace(row.ratings[0], at=at),))])
    with pytest.raises(RunError, match=f"line 1: {at!r} is not a time"):
        read_dataset(tmp_path / "dataset.jsonl")


def test_what_the_safety_filter_finds_is_left_out_and_counted_by_category():
    rows = [
        rated(1, "kept", 1.0),
        rated(2, "what a b.i.t.c.h", 1.0),
        rated(3, "call +49 30 1234567", -1.0),
        rated(4, "fine", 1.0, prompt="f u c k"),
    ]
    examples, card = examples_of(rows, load_filter().findings)
    assert [example.text for example in examples] == ["kept"]
    assert card.dropped == {"unsafe_insult": 2, "unsafe_personal_phone": 1}


def test_what_a_model_has_thought_is_no_example():
    rows = [
        rated(1, "<think>green or black?</think>\n\nGreen tea.", 1.0, prompt="tea"),
        rated(2, "Black, I think.</think> Black tea.", 1.0, prompt="rain"),
        rated(3, "<think>it never ends", 1.0, prompt="moon"),
    ]
    examples, card = examples_of(rows)
    assert sorted(example.text for example in examples) == ["Black tea.", "Green tea."]
    assert card.dropped["empty"] == 1
