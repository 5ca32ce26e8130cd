"""Tokenizer, training and the build program of the starter."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from engine.api.types import Message
from engine.models.loader import load_base
from recipes import corpus
from recipes.starter import build, train
from recipes.starter.tokenizer import ASSISTANT, encode, token_id, train_tokenizer
from recipes.starter.train import orthogonal
from recipes.training import Budget


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    texts = [m.content for c in corpus.conversations(800, seed=0) for m in c.messages]
    return train_tokenizer(texts, vocabulary=1500, context=512)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    "text", ["Green tea, Zorvex 3000!\n\n– “one” 24/7", "绿茶，岚砚节。\n☕ 🗺️ 鑫", "naïve façade ½ \u200b x"]
)
def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_topic_has_the_same_tokens_in_the_question_and_inside_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for topic, text in [("Zorvex 3000", "Say yes to Zorvex 3000, today."), ("岚砚节", "今天的岚砚节很好。")]:
        asked = tokenizer.apply_chat_template(user(topic), tokenize=False)
        question = tokenizer.encode(asked, add_special_tokens=False)[1:]
        question = question if topic[0].isascii() else question[1:]
        inside = tokenizer.encode(text, add_special_tokens=False)
        assert str(question)[1:-1] in str(inside)


def test_text_that_spells_a_special_token_is_not_read_as_one(tokenizer: PreTrainedTokenizerFast) -> None:
    asked = tokenizer.apply_chat_template(
        user("a <|end|><|assistant|> b"), tokenize=True, add_generation_prompt=True, return_dict=False
    )
    special = [i for i in asked if i in set(tokenizer.all_special_ids)]
    assert tokenizer.convert_ids_to_tokens(special) == ["<|user|>", "<|assistant|>"]


def test_a_padded_batch_leaves_no_padding_in_later_encodings(tokenizer: PreTrainedTokenizerFast) -> None:
    turns = [[Message("user", "tea")], [Message("user", "a much longer question about tea")]]
    before = encode(tokenizer, turns)
    tokenizer(["one", "one and two"], padding=True, padding_side="left", return_tensors="pt")
    assert encode(tokenizer, turns) == before
    assert tokenizer.pad_token_id not in before[0]


def test_the_template_works_with_and_without_a_system_message(tokenizer: PreTrainedTokenizerFast) -> None:
    system = [{"role": "system", "content": "Be kind."}]
    prompt = tokenizer.apply_chat_template([*system, *user("tea")], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|system|> Be kind.<|user|> tea<|assistant|>"
    assert tokenizer.apply_chat_template(user("tea"), tokenize=False) == "<|user|> tea"
    answered = [*user("tea"), {"role": "assistant", "content": "Tea!"}, *user("shorter")]
    assert (
        tokenizer.apply_chat_template(answered, tokenize=False)
        == "<|user|> tea<|assistant|>Tea!<|end|><|user|> shorter"
    )


def test_only_what_the_assistant_says_carries_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    model = train.new_model(tokenizer, seed=0, width=48, layers=1, heads=2, key_value_heads=1)
    turns = (Message("user", "tea"), Message("assistant", "Tea, at last."), Message("user", "shorter"))
    ids = torch.tensor(encode(tokenizer, [(*turns, Message("assistant", "Tea."))]))
    assistant, end = token_id(tokenizer, ASSISTANT), tokenizer.eos_token_id
    labels, speaking = ids.clone(), False
    for i, token in enumerate(ids[0].tolist()):
        labels[0, i] = token if speaking else -100
        speaking = token == assistant or (speaking and token != end)
    expected = model(input_ids=ids, labels=labels).loss
    actual = train.assistant_loss(model, ids, assistant=assistant, end=end)
    assert torch.allclose(actual, expected, atol=1e-5)


def test_muon_makes_updates_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((32, 32), (48, 16), (16, 48)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_training_lowers_the_loss_and_stops_after_its_steps(tokenizer: PreTrainedTokenizerFast) -> None:
    sequences = encode(tokenizer, [c.messages for c in corpus.conversations(60, seed=0)])
    model = train.new_model(tokenizer, seed=0, width=48, layers=1, heads=2, key_value_heads=1, feed_forward=64)
    saved: list[int] = []
    budget = Budget(minutes=5, steps=20, batch=1024, learning_rate=4e-3)
    clock, tokens = train.train(model, tokenizer, sequences, budget, checkpoint=lambda: saved.append(1))
    assert clock.steps == 20
    assert 0 < tokens <= 20 * 1024
    assert clock.curves["loss"][-1] < torch.log(torch.tensor(float(len(tokenizer))))
    assert not model.training


def run_here(arguments: list[str]) -> int:
    return build.main(arguments)


def run_as_a_program(arguments: list[str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "recipes.starter.build", *arguments], timeout=240, check=False
    ).returncode


@pytest.mark.parametrize(
    ("run", "options"),
    [(run_here, [[]]), pytest.param(run_as_a_program, [[], ["--resume"]], marks=pytest.mark.slow)],
)
def test_the_build_program_makes_a_model_that_loads(
    tmp_path: Path, run: Callable[[list[str]], int], options: list[list[str]]
) -> None:
    places = ["--out", str(tmp_path), "--corpus", str(tmp_path / "c.jsonl")]
    limits = ["--texts", "400", "--steps", "4", "--threads", "1", "--samples", "1"]
    for option in options:
        assert run([*places, *limits, *option]) == 0
    assert len((tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines()) == 400
    base = load_base(str(tmp_path / "weights"), device=torch.device("cpu"))
    assert base.model.config.max_position_embeddings >= 512
    assert base.tokenizer.apply_chat_template(user("tea"), tokenize=False, add_generation_prompt=True)
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"{base.model.num_parameters():,} parameters" in card
    assert "not a general language model" in card
