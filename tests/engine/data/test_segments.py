"""Who asks: the segments of a prompt."""

from engine.api.types import Message
from engine.data.dataset import Example, segments_of


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
