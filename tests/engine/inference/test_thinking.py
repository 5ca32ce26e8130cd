"""What a model thinks aloud leaves the engine in no form, streamed or whole."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import torch
from tokenizers import AddedToken, Tokenizer

from engine.api.types import Message, Sampling
from engine.inference import batch
from engine.inference.batch import Row
from engine.inference.engine import Engine
from engine.inference.request import Detokenizer
from engine.models.loader import Base, ChatTemplate
from engine.server.app import build_app

ASK = [Message("user", "tea")]
SAID = {
    "<think>the SECRET</think>\n\nGreen tea.": "Green tea.",
    "the SECRET</think>\n\nGreen tea.": "Green tea.",
    "<think>the SECRET": "",
    "Green <tea>.": "Green <tea>.",
}


def writes(monkeypatch: pytest.MonkeyPatch, base: Base, said: str) -> Sampling:
    """Let the model write this whatever it is asked; as many tokens as it needs."""
    ids = [*base.tokenizer(said, add_special_tokens=False)["input_ids"]]

    def draw(_: torch.Tensor, rows: Sequence[Row], *__: Any) -> list[int]:
        tokens = [ids[row.length] for row in rows]  # type: ignore[attr-defined]
        for row, token in zip(rows, tokens, strict=True):
            row.see(token)
        return tokens

    monkeypatch.setattr(batch, "draw", draw)
    return Sampling(max_tokens=len(ids), temperature=0.0, ignore_eos=True)


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize(("said", "shown"), SAID.items())
async def test_it_is_neither_streamed_nor_in_the_whole(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch, said: str, shown: str, opens: bool
) -> None:
    if opens:
        tiny_base.tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    sampling = writes(monkeypatch, tiny_base, said)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "tea"}], "max_tokens": sampling.max_tokens}
    body |= {"ignore_eos": True, "stop": ["the SECRET thing", "SECRET"]} if said.startswith("<think>") else {}
    engine = Engine(tiny_base)
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60) as http:
        whole = (await http.post("/v1/chat/completions", json=body)).json()
        stream = await http.post("/v1/chat/completions", json=body | {"stream": True})
    assert whole["choices"][0]["message"]["content"] == shown
    events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
    streamed = "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])
    if opens or said.startswith("<think>") or "SECRET" not in said:
        assert streamed == shown


def test_the_templates_own_thought_is_ended_before_the_answer_begins(tiny_base: Base) -> None:
    plain = ChatTemplate(tiny_base.tokenizer)
    assert not plain.opens_thought
    tiny_base.tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    template = ChatTemplate(tiny_base.tokenizer)
    assert template.opens_thought
    assert tiny_base.tokenizer.decode(template.encode(ASK)).endswith("<|assistant|><think>\n\n</think>\n\n")


def test_tags_that_are_control_tokens_part_thought_and_answer_too(tiny_base: Base) -> None:
    tokenizer = Tokenizer.from_str(tiny_base.tokenizer.backend_tokenizer.to_str())
    tokenizer.add_special_tokens([AddedToken("[THINK]", special=True), AddedToken("[/THINK]", special=True)])
    stream = Detokenizer(tokenizer)
    ids = tokenizer.encode("[THINK]the SECRET[/THINK]Green tea.").ids
    assert "".join(map(stream.push, ids)) + stream.finish() == "Green tea."
