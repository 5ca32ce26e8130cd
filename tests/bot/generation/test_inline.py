"""What is asked in inline mode: a kind and a topic, as far as they are typed."""

import pytest

from bot.common.kinds import load_kinds
from bot.generation.inline import parsed

KINDS = load_kinds()


@pytest.mark.parametrize(
    ("typed", "kind", "topic"),
    [
        ("slogan green tea", "slogan", "green tea"),
        ("  /Slogan\n green  tea ", "slogan", "green  tea"),
        ("something on tea", "write", "something on tea"),
        ("绿茶", "write", "绿茶"),
        ("tea", "write", "tea"),
        ("sloganeering", "write", "sloganeering"),
        ("slogans for tea", "write", "slogans for tea"),
    ],
)
def test_the_first_word_is_a_kind_or_all_of_it_is_the_topic(typed: str, kind: str, topic: str) -> None:
    found, about = parsed(typed, KINDS)
    assert (found.name, about) == (kind, topic)


@pytest.mark.parametrize("typed", ["", "  ", "s", "slo", "slogan", "slogan ", "/", "/po", "TITLE", "\u202e"])
def test_as_long_as_a_kind_is_being_typed_there_is_no_topic(typed: str) -> None:
    assert parsed(typed, KINDS)[1] == ""
