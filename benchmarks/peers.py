"""What our engine is measured beside: transformers' own ways to write many texts, in this process.

The settings are those that our engine gets: from all tokens, at temperature 1, never
ending early.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, ContinuousBatchingConfig, GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from engine.api.models import STARTER_FOLDER
from engine.models.loader import Base

TOPICS = ("green tea", "autumn rain", "night trains", "the chess club", "绿茶", "秋雨", "夜班火车", "初雪")

Peer = Callable[[Base, int, int], float]
"""From a model, a number of texts and the new tokens of each to tokens a second."""


def save_qwen3(folder: Path) -> Path:
    """A Qwen3 of 99 M parameters with random weights and the starter's tokenizer, as a folder that can be served."""
    tokenizer = AutoTokenizer.from_pretrained(STARTER_FOLDER)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=768, intermediate_size=2304, num_hidden_layers=14,
        num_attention_heads=12, num_key_value_heads=4, head_dim=64, max_position_embeddings=1024,
        tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def one_at_a_time(base: Base, texts: int, tokens: int) -> float:
    """`model.generate` for one prompt after the other, as chat bots do it."""

    def write() -> None:
        for prompt in _prompts(base, texts):
            _generate(base, [prompt], tokens)

    return _speed(texts * tokens, write)


def static_batch(base: Base, texts: int, tokens: int) -> float:
    """`model.generate` for all prompts at once."""
    return _speed(texts * tokens, lambda: _generate(base, _prompts(base, texts), tokens))


def continuous(base: Base, texts: int, tokens: int) -> float:
    """transformers' continuous batching manager with room for all of them, without its start."""
    prompts = base.tokenizer(_prompts(base, texts), add_special_tokens=False)["input_ids"]
    config = _config(base, tokens)
    config.eos_token_id = -1  # the manager does not know `min_new_tokens`
    room = ContinuousBatchingConfig(num_blocks=texts * 8, max_batch_tokens=1024)

    def write() -> None:
        manager.add_requests(inputs=prompts, max_new_tokens=tokens)
        written = [manager.get_result(timeout=600).generated_tokens for _ in prompts]
        assert [len(text) for text in written] == [tokens] * texts

    with base.model.continuous_batching_context_manager(config, continuous_batching_config=room) as manager:  # type: ignore[operator]
        return _speed(texts * tokens, write)


def _speed(tokens: int, write: Callable[[], object]) -> float:
    began = time.perf_counter()
    write()
    return tokens / (time.perf_counter() - began)


def _prompts(base: Base, count: int) -> list[str]:
    turns = [[{"role": "user", "content": TOPICS[number % len(TOPICS)]}] for number in range(count)]
    return [str(base.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)) for turn in turns]


def _generate(base: Base, prompts: Sequence[str], tokens: int) -> None:
    base.tokenizer.padding_side = "left"
    inputs = base.tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)
    inputs = inputs.to(base.model.device)
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        base.model.generate(**inputs, generation_config=_config(base, tokens))  # type: ignore[operator]


def _config(base: Base, tokens: int) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=tokens, min_new_tokens=tokens,
        eos_token_id=base.tokenizer.eos_token_id, pad_token_id=base.tokenizer.pad_token_id,
    )  # fmt: skip
