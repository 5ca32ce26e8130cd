"""Tiny random models of several architectures, and datasets with a taste in them."""

import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating
from engine.models.layers import has_fast_bfloat16
from engine.runs.run_dir import METRICS_FILE, read_progress

needs_bfloat16 = pytest.mark.skipif(not has_fast_bfloat16(), reason="the processor has neither avx512_bf16 nor AMX")

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and the special tokens of the template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", additional_special_tokens=SPECIAL[2:]
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def save_tiny_model(folder: Path, architecture: str = "llama") -> Path:
    """A random model of about 30,000 parameters with its tokenizer, as a Hugging Face folder."""
    tokenizer = byte_tokenizer()
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    if architecture == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256, **ids)
        )
    else:
        config = {"llama": LlamaConfig, "qwen3": Qwen3Config}[architecture](
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            **ids,
        )
        model = {"llama": LlamaForCausalLM, "qwen3": Qwen3ForCausalLM}[architecture](config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_greedy_model(folder: Path) -> Path:
    """A tiny model with an embedding of half a gigabyte, all zeros, which lies on disk as a hole."""
    save_tiny_model(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 4_000_000}))
    header, end = {}, 0
    with safe_open(folder / "model.safetensors", "pt") as weights:
        shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no mapping
    shapes["model.embed_tokens.weight"][0] = 4_000_000
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + end)
    return folder


def rated(
    number: int, text: str, value: float, *, rater: str = "ann", prompt: str | None = None, chat: str = "chat"
) -> RatedGeneration:
    """One text with one rating."""
    return RatedGeneration(
        id=f"g{number:04}",
        kind="slogan",
        chat=chat,
        author="author",
        version="base",
        messages=(Message("system", "Write."), Message("user", prompt or f"topic {number % 40}")),
        text=text,
        ratings=(Rating(rater, value, at="2026-11-01T12:00:00Z"),),
    )


def audience(count: int, *, seed: int = 0, right: float = 0.9) -> list[RatedGeneration]:
    """Texts of a's and texts of z's from six people who like the a's; `right` of the ratings say so.

    With `right=0.5` the ratings are random, with 0.1 they say the opposite.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        is_a = rng.random() < 0.5
        likes = (rng.random() < right) == is_a
        text = letters(rng, is_a=is_a)
        rows.append(rated(number, text, 1.0 if likes else -1.0, rater=f"rater{number % 6}"))
    return rows


def save_taught_model(folder: Path, *, steps: int = 150) -> Path:
    """A tiny Llama that writes a's half of the time and z's the other half, so that there is a taste to learn."""
    save_tiny_model(folder)
    tokenizer = byte_tokenizer()
    model = LlamaForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = random.Random(0)
    for _ in range(steps):
        rows = [conversation(tokenizer, letters(rng), rng.randrange(40)) for _ in range(24)]
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([list(ids) + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in rows])
        labels = ids.clone()
        for i, (row, start) in enumerate(rows):
            labels[i, :start] = -100
            labels[i, len(row) :] = -100
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def letters(rng: random.Random, *, is_a: bool | None = None) -> str:
    """A short text of a's or of z's."""
    wants_a = rng.random() < 0.5 if is_a is None else is_a
    return "".join(rng.choices("aab" if wants_a else "zzy", k=rng.randint(6, 12)))


def conversation(tokenizer: PreTrainedTokenizerFast, text: str, topic: int) -> tuple[list[int], int]:
    """A prompt and its answer in tokens, and where the answer begins."""
    turns = [{"role": "system", "content": "Write."}, {"role": "user", "content": f"topic {topic}"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return [*prompt, *tokenizer(text)["input_ids"], tokenizer.eos_token_id], len(prompt)


def wait_for_training(run_dir: Path, is_alive: Callable[[], bool]) -> None:
    """Wait until a run that is under way, and alive, has come to its training."""
    while (seen := read_progress(run_dir / METRICS_FILE)) is None or seen.stage != "training":
        assert is_alive()
        time.sleep(0.05)
