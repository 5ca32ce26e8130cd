"""A text that is longer than one call is gone on with, and joined so that nobody sees where."""

from collections.abc import Sequence

import pytest

from bot.generation.continuing import Answer, joined, stream_to_its_end, to_last_sentence
from engine.api.types import Message, Reply, Sampling, WrittenText

ASKED = (Message("user", "Write an article."),)


class Model:
    """Answers with these parts, one a call; all but the last run out of tokens."""

    def __init__(self, *parts: str, ends: bool = True) -> None:
        self.parts = parts
        self.ends = ends
        self.asked: list[tuple[tuple[Message, ...], Sampling]] = []

    async def ask(self, messages: Sequence[Message], sampling: Sampling) -> Answer:
        part = self.parts[len(self.asked)]
        self.asked.append((tuple(messages), sampling))
        yield part
        is_last = self.ends and len(self.asked) == len(self.parts)
        yield Reply((WrittenText(part, "stop" if is_last else "length", 5),), "m", 10, 5)


async def whole(model: Model, *, calls: int = 3) -> Reply:
    pieces = stream_to_its_end(model.ask, ASKED, Sampling(seed=7), calls=calls, language="en")
    *_, reply = [piece async for piece in pieces]
    assert isinstance(reply, Reply)
    return reply


async def test_what_is_cut_off_is_gone_on_with_from_its_last_whole_sentence() -> None:
    model = Model("Trees give shade. They clean the", "They clean the air. And birds", "Birds love them.")
    reply = await whole(model)
    assert reply.text == "Trees give shade. They clean the air. Birds love them."
    assert (reply.prompt_tokens, reply.completion_tokens) == (30, 15)
    assert reply.texts == (WrittenText(reply.text, "stop", 15),)
    (first, drawn), (second, drawn_then), _ = model.asked
    assert first == ASKED and drawn.seed == 7 and drawn_then.seed != 7
    assert [turn.role for turn in second] == ["user", "assistant", "user"]
    assert second[1].content == "Trees give shade." and "Go on" in second[2].content


async def test_it_ends_with_the_last_call_with_one_that_adds_nothing_and_with_a_text_that_is_whole() -> None:
    model = Model("One. Two. Thr", "Three. Fou", ends=False)
    reply = await whole(model, calls=2)
    assert reply.text == "One. Two. Three. Fou" and reply.finish_reason == "length" and len(model.asked) == 2
    model = Model("One. Two. Thr", "One. Two.", "never asked")
    assert (await whole(model)).text == "One. Two."
    assert (await whole(Model("One."), calls=3)).text == "One."
    assert (await whole(Model("One. Two. Thr", ends=False), calls=1)).text == "One. Two. Thr"


@pytest.mark.parametrize(
    ("text", "more", "result"),
    [
        ("It rained.", "The cat slept.", "It rained. The cat slept."),
        ("It rained.", "\n\nThe cat slept.", "It rained.\n\nThe cat slept."),
        ("It rained.", "## Later\n\nSun.", "It rained.\n\n## Later\n\nSun."),
        ("It rained.", "- one\n- two", "It rained.\n\n- one\n- two"),
        ("下雨了。", "猫睡了。", "下雨了。猫睡了。"),
        ("It rained. The cat slept.", "It rained. The cat slept.", "It rained. The cat slept."),
        ("It rained.", "  ", "It rained."),
    ],
)
def test_parts_are_joined_as_one_text(text: str, more: str, result: str) -> None:
    assert joined(text, more) == result


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("It rained. The cat s", "It rained."),
        ("No. A very long sentence that never comes to its", "No. A very long sentence that never comes to its"),
        ("下雨了。猫", "下雨了。"),
        ('He said "no." Then', 'He said "no."'),
        ("It cost 3.50 and then some", "It cost 3.50 and then some"),
    ],
)
def test_half_a_sentence_is_dropped_where_enough_is_left(text: str, kept: str) -> None:
    assert to_last_sentence(text) == kept
