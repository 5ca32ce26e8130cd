"""What a model thinks aloud is never shown, in whatever pieces it comes; and nothing else is lost."""

import json
import random
from typing import Any

import httpx
import pytest

from engine.api.client import EngineClient
from engine.api.reading import PartialReply
from engine.api.thoughts import Thoughts, closed, without_thoughts
from engine.api.types import Message, Reply, Sampling

SECRET = "SECRET thoughts, on a <b> and [a] \n\n"
TEXTS = {
    f"<think>{SECRET}</think>\n\nGreen tea.": "Green tea.",
    f"<think>\n{SECRET}": "",
    f"  <think>{SECRET}</think> Green tea.": "  Green tea.",
    f"<think></think>Green tea.<think>{SECRET}</think> Slowly.": "Green tea. Slowly.",
    f"Green tea.\n<think>{SECRET}": "Green tea.\n",
    f"<thinking>{SECRET}</thinking>Green tea.": "Green tea.",
    f"<thought>{SECRET}": "",
    f"[THINK]{SECRET}[/THINK]Green tea.": "Green tea.",
    f"<seed:think>{SECRET}</seed:think>Green tea.": "Green tea.",
    f"◁think▷{SECRET}◁/think▷Green tea.": "Green tea.",
    f"<think>{SECRET}<think>again</think>Green tea.": "Green tea.",
    "\n Dear <name>, <thank you> for [this] < that >.": "\n Dear <name>, <thank you> for [this] < that >.",
    "A <thought>, a <reasoning>, 1 < 2 and <thin": "A <thought>, a <reasoning>, 1 < 2 and <thin",
    "The tag `<think>` begins it, `</think>` ends it.": "The tag `<think>` begins it, `</think>` ends it.",
    "<": "<",
    "": "",
}


def in_pieces(text: str, draw: random.Random) -> list[str]:
    cuts = sorted(draw.sample(range(len(text) + 1), min(len(text), draw.randint(0, 12))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
def test_every_split_shows_the_answer_and_never_a_word_of_the_thought(text: str, shown: str) -> None:
    draw = random.Random(0)
    splits = [list(text), [text], *(in_pieces(text, draw) for _ in range(40))]
    for pieces in splits:
        thoughts = Thoughts()
        assert "".join([*map(thoughts.feed, pieces), thoughts.finish()]) == shown
    assert without_thoughts(text) == shown


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_a_text_that_begins_within_a_thought_is_held_back_until_it_ends(piece: int) -> None:
    def shown(text: str, *, is_cut_off: bool = False) -> str:
        thoughts = Thoughts(may_begin_in_one=True)
        pieces = [thoughts.feed(text[at : at + piece]) for at in range(0, len(text), piece)]
        return "".join([*pieces, thoughts.finish(is_cut_off=is_cut_off)])

    assert shown(f"{SECRET}</think>\n\nGreen tea.") == "Green tea."
    assert shown(f"<think>{SECRET}</think>Green tea.") == "Green tea."
    assert shown(SECRET, is_cut_off=True) == ""
    assert shown("Green tea.") == "Green tea.", "it has not thought at all"


def test_a_thought_that_a_template_begins_is_ended() -> None:
    assert closed("<|assistant|><think>\n") == "<|assistant|><think>\n\n</think>\n\n"
    assert closed("<|assistant|><think>") == "<|assistant|><think>\n\n</think>\n\n"
    for prompt in ("<|assistant|>", "<think>\n\n</think>\n\n", "What is <think>?<|assistant|>"):
        assert closed(prompt) == prompt


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def test_a_thought_whose_beginning_nobody_saw_is_taken_back_and_known_from_then_on() -> None:
    reply = PartialReply("m")
    streamed = [reply.take(chunk(content=piece)) for piece in ("Let me ", "think.</thi", "nk>\n\nGreen ", "tea.")]
    reply.take(chunk("stop"))
    assert streamed[-2:] == ["Green ", "tea."] and reply.end_texts() == ""
    assert reply.reply().text == "Green tea." and reply.has_thought_unseen


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_in_a_field_of_their_own_are_no_text(name: str) -> None:
    reply = PartialReply("m", may_begin_in_thought=True)
    assert reply.take(chunk(**{name: SECRET, "content": None})) == ""
    assert reply.take(chunk(content="Green ", **{name: None})) == "Green ", "and what follows need not be held back"
    assert reply.take(chunk("stop", content="tea.")) == "tea."
    assert reply.reply().text == "Green tea."


@pytest.mark.parametrize("model", ["plain", "deepseek-r1:7b", "Qwen3-4B-Thinking-2507"])
async def test_a_servers_thoughts_are_streamed_once_at_most(model: str) -> None:
    """Where neither tag nor name tells that a text begins within a thought, the first answer does."""

    def answer(request: httpx.Request) -> httpx.Response:
        pieces = [SECRET, "</think>", "\n\nGreen tea."]
        events = [chunk(content=piece) for piece in pieces] + [chunk("stop")]
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return httpx.Response(200, text="".join([*lines, "data: [DONE]\n\n"]))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = EngineClient("http://engine", http=http)
        for number in range(2):
            ask = client.stream([Message("user", "tea")], Sampling(), model=model)
            *pieces, reply = [piece async for piece in ask]
            assert isinstance(reply, Reply) and reply.text == "Green tea."
            assert ("SECRET" in "".join(map(str, pieces))) == (model == "plain" and not number)
