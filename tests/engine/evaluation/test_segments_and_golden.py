"""Who asks, and what every version must manage."""

import pytest

from engine.api.types import Message
from engine.data.dataset import Example, segments_of
from engine.evaluation.probes import GOLDEN_PROMPTS, is_proper_answer


def example(group: str, raters: tuple[str, ...], *, topic: str = "tea", kind: str = "poem") -> Example:
    return Example((Message("user", topic),), "text", 1.0, 0.3, group, raters=raters, chat="c" * 32, kind=kind)


def test_a_prompt_belongs_to_its_language_kind_chat_and_to_those_who_rate_much_or_little():
    busy = [example(f"g{number}", ("busy",)) for number in range(20)]
    others = [example(f"o{number}", (f"rater {number % 5}",)) for number in range(25)]
    new = example("n", ("newcomer",), topic="茶", kind="slogan")
    segments = segments_of([*busy, *others, new])
    assert segments["n"] == ("language zh", "kind slogan", "chat cccccccc", "new people")
    assert "heavy raters" in segments["g0"]
    assert set(segments["o0"]) == {"language en", "kind poem", "chat cccccccc"}


def test_a_prompt_rated_twice_has_the_segments_of_both():
    segments = segments_of([example("g", ("one",)), example("g", ("two",), kind="story")])
    assert {"kind poem", "kind story"} <= set(segments["g"])


ENGLISH = next(asked for asked in GOLDEN_PROMPTS if asked[1].content == "a bakery")
CHINESE = next(asked for asked in GOLDEN_PROMPTS if asked[1].content == "初雪")


@pytest.mark.parametrize(
    ("asked", "text", "ended", "managed"),
    [
        (ENGLISH, "Bread for the morning", True, True),
        (ENGLISH, "Bread for the morning", False, False),
        (ENGLISH, "!!! 123", True, False),
        (ENGLISH, "面包的早晨", True, False),
        (CHINESE, "雪落无声", True, True),
        (CHINESE, "Snow falls", True, False),
        (CHINESE, "", True, False),
    ],
)
def test_an_answer_ends_says_something_and_keeps_the_script(asked, text, ended, managed):
    assert is_proper_answer(asked, text, ended=ended) is managed
