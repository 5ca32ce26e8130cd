"""Ratings in TRL's format: what goes out, what comes in, and what is refused."""

import json
from pathlib import Path

import pytest

from engine.api.types import Message
from engine.data.dataset import examples_of, write_dataset
from engine.data.trl_format import kto_lines, read_ratings
from engine.errors import RunError
from tests.support.learning.learning_fixtures import audience, rated

GOOD = {
    "prompt": [{"role": "system", "content": "Write."}, {"role": "user", "content": "tea"}],
    "completion": [{"role": "assistant", "content": "A kettle sings."}],
    "label": True,
}


def file_of(folder: Path, *lines: object) -> Path:
    path = folder / "kto.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def test_what_goes_out_is_one_conversation_a_line_with_its_label(tmp_path):
    examples, _ = examples_of([rated(1, "茶 \u2028 line", 1.0), rated(2, "rain", -1.0, rater="bob")])
    lines = [json.loads(line) for line in "\n".join(kto_lines(examples)).splitlines()]
    assert lines[0] == {
        "prompt": [{"role": "system", "content": "Write."}, {"role": "user", "content": "topic 1"}],
        "completion": [{"role": "assistant", "content": "茶 \u2028 line"}],
        "label": True,
        "value": pytest.approx(0.8),
        "weight": pytest.approx(1 / 3),
    }
    assert lines[1]["label"] is False


def test_what_went_out_comes_in_with_nearly_the_same_labels(tmp_path):
    rows = [*audience(30), rated(90, "liked by many", 1.0, prompt="tea")]
    rows += [rated(91 + i, "liked by many", 1.0, rater=f"rater{i}", prompt="tea") for i in range(5)]
    examples, _ = examples_of(rows)
    path = tmp_path / "kto.jsonl"
    path.write_text("\n".join(kto_lines(examples)) + "\n", encoding="utf-8")
    again, card = examples_of(read_ratings(path))
    assert [example.text for example in again] == [example.text for example in examples]
    assert all(new.value * old.value > 0.0 for new, old in zip(again, examples, strict=True))
    assert [new.weight for new in again] == pytest.approx([old.weight for old in examples], abs=0.06)
    assert card.raters == card.ratings


def test_plain_strings_and_rows_of_ours_are_read_too(tmp_path):
    (row,) = read_ratings(file_of(tmp_path, {"prompt": "tea", "completion": "A kettle.", "label": False, "extra": [1]}))
    assert row.messages == (Message("user", "tea"),)
    assert (row.text, [rating.value for rating in row.ratings]) == ("A kettle.", [-1.0])
    rows = tuple(audience(5))
    write_dataset(tmp_path / "dataset.jsonl", rows)
    assert read_ratings(tmp_path / "dataset.jsonl") == rows


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a string", "line 2: the line"),
        ({**GOOD, "label": "yes"}, "line 2: label"),
        ({**GOOD, "label": None}, "line 2: label"),
        ({"prompt": GOOD["prompt"], "label": True}, "line 2: completion"),
        ({**GOOD, "prompt": []}, "line 2: prompt"),
        ({**GOOD, "prompt": [{"role": "tool", "content": "x"}]}, "line 2: prompt"),
        ({**GOOD, "completion": GOOD["completion"] * 2}, "line 2: completion"),
        ({**GOOD, "value": -0.5}, "line 2: the line: .*label true does not go with the value -0.5"),
        ({**GOOD, "value": 7}, "line 2: value"),
        ({"ratings": []}, "line 2: id"),
    ],
)
def test_a_line_that_is_neither_is_named_by_its_number(tmp_path, line, told):
    with pytest.raises(RunError, match=told):
        read_ratings(file_of(tmp_path, GOOD, line))


def test_what_is_not_json_or_not_there_is_a_sentence(tmp_path):
    path = file_of(tmp_path, GOOD)
    path.write_bytes(path.read_bytes() + b"\xff{\n")
    with pytest.raises(RunError, match="line 2 is not JSON"):
        read_ratings(path)
    path.write_text("")
    with pytest.raises(RunError, match="is empty"):
        read_ratings(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_ratings(tmp_path / "none.jsonl")
