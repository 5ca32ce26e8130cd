"""What the engine serves is what `model.generate` writes: prompts alone and in any mix, with and without adapters.

The reference is the model as transformers loads it; the engine's is packed and attends in its own way.
"""

import asyncio
import itertools
import random
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from engine.api.models import STARTER_FOLDER
from engine.api.types import Message, Sampling
from engine.inference.engine import Engine, TextStream
from engine.models.loader import Base, load_base, load_to_serve
from engine.runs.versions import publish
from tests.engine.conftest import save_adapter

TOKENS = 8
GREEDY = Sampling(max_tokens=TOKENS, temperature=0.0, ignore_eos=True)
KINDS = ("slogan", "poem", "story", "title", "post")
TOPICS = (
    "green tea",
    "autumn rain",
    "night trains",
    "the chess club",
    "a lost key",
    "绿茶",
    "秋雨",
    "夜班火车",
    "初雪",
    "棋社",
)


def prompts(count: int) -> list[list[Message]]:
    """Of all lengths, in two languages, some with an earlier turn."""
    draw = random.Random(5)
    asked = []
    for kind, topic in itertools.islice(itertools.cycle(itertools.product(KINDS, TOPICS)), count):
        turns = [Message("user", f"Write a {kind} about {' and '.join([topic] * draw.randint(1, 6))}")]
        if draw.random() < 0.3:
            turns += [Message("assistant", topic), Message("user", "shorter, please")]
        asked.append(turns)
    return asked


def reference(model: PreTrainedModel, base: Base, asked: list[list[Message]]) -> list[str]:
    """Each prompt's text as `generate` writes it alone."""
    texts = []
    for messages in asked:
        prompt = torch.tensor([base.template.encode(messages)])
        ids = model.generate(  # type: ignore[operator]  # transformers' mixins hide it
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        texts.append(
            base.tokenizer.decode(ids[0, prompt.shape[1] :], skip_special_tokens=True).rstrip("\ufffd").rstrip()
        )
    return texts


async def text_of(generation: TextStream) -> str:
    return "".join([piece.text async for piece in generation.pieces()]).rstrip()  # a blank may wait for its character


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published version of the starter with random weights."""
    root = tmp_path_factory.mktemp("parity")
    return publish(save_adapter(STARTER_FOLDER, root / "adapter", seed=3), root / "versions", "v1")


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
async def test_greedy_texts_are_those_of_generate(adapter: Path, count: int) -> None:
    conversations = prompts(count)
    plain = load_base("starter")
    expected = {"starter": reference(plain.model, plain, conversations)}
    tuned = PeftModel.from_pretrained(plain.model, adapter)
    expected["v1"] = reference(tuned, plain, conversations)
    assert expected["v1"] != expected["starter"]
    asked = [(name, number) for name in expected for number in range(count)]
    async with Engine(load_to_serve("starter"), max_batch=24, max_queue=len(asked)) as engine:
        await engine.load_adapter("v1", adapter)

        async def write(name: str, number: int) -> str:
            return await text_of(engine.submit(conversations[number], GREEDY, model=name))

        for name, number in asked[:: count // 20]:
            assert await write(name, number) == expected[name][number], "alone"
        random.Random(7).shuffle(asked)
        texts = await asyncio.gather(*(write(name, number) for name, number in asked))
    assert texts == [expected[name][number] for name, number in asked]
