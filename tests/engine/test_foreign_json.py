"""JSON of others: what is no JSON, too long or too deep is a ValueError, and everything else is what Python reads."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.foreign_json import MAX_DEPTH, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(VALUES)
def test_what_is_json_comes_back_as_it_was(value):
    assert read_json(json.dumps(value)) == value
    assert read_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_comes_is_a_value_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        read_json(text)


@pytest.mark.parametrize("nested", ["[", '{"a":', '[{"a":[', '[0,{"b":1,"a":['])
@pytest.mark.parametrize("times", [MAX_DEPTH + 1, 900, 5_000, 200_000])
@pytest.mark.parametrize("is_closed", [True, False])
def test_what_is_nested_deeply_is_refused_however_deep_it_is(nested, times, is_closed):
    ends = "".join({"[": "]", "{": "}"}[each] for each in reversed(nested) if each in "[{")
    text = nested * times + "1" + (ends * times if is_closed else "")
    with pytest.raises(ValueError):
        read_json(text)
    with pytest.raises(ValueError):
        read_json(text.encode())


def test_the_bound_itself_is_allowed_and_brackets_in_words_are_no_levels():
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert read_json(json.dumps(["[{" * 500])) == ["[{" * 500]
    assert read_json(json.dumps([[]] * 500)) == [[]] * 500


@pytest.mark.parametrize("text", ["1" * 5_000, "", "[", b"\xff\xfe[\x00]\x00", b'"\xff"'])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "[1e999]", r'"\ud83d"', r'{"\ude00": 1}'])
def test_what_not_everybody_can_write_again_is_refused_where_wanted(text):
    read_json(text)
    with pytest.raises(ValueError):
        read_json(text, strict=True)
    assert read_json(r'"\ud83d\ude00"', strict=True) == "😀"


def test_what_is_longer_than_the_caller_wants_is_refused_unread():
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        read_json(b"[" * 11, max_bytes=10)
