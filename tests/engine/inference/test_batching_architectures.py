"""Batches are right for any attention, not for Llama alone."""

import copy
import random

import pytest
import torch
from transformers import (
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from engine.api.types import Sampling
from engine.inference.batch import Batch, Row
from engine.models.layers import has_llama_forward, pack, use_fast_attention

VOCAB = 96
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama, biases, scaled positions": LlamaConfig(
        **SIZES,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
    ),
    "qwen2": Qwen2Config(**{key: value for key, value in SIZES.items() if key != "head_dim"}),
    "qwen3": Qwen3Config(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen3 with a sliding window": Qwen3Config(
        **SIZES, use_sliding_window=True, sliding_window=8, layer_types=["full_attention", "sliding_attention"]
    ),
    "mistral, all layers sliding": MistralConfig(**SIZES, sliding_window=8),
    "gemma2, two head sizes and soft caps": Gemma2Config(**SIZES, sliding_window=8),
    "phi3": Phi3Config(**SIZES),
    "gpt2, learned positions": GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=None, initializer_range=0.3
    ),
    "gpt-neox": GPTNeoXConfig(**{key: value for key, value in SIZES.items() if key != "head_dim"}),
    "bloom, alibi": BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
}


def expected_tokens(model: PreTrainedModel, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    return list(written[0, len(prompt) :].tolist())


LLAMA_SHAPED = {"llama, biases, scaled positions", "qwen2", "qwen3", "mistral"}


@pytest.mark.parametrize("is_served", [False, True], ids=["plain", "as it is served"])
@pytest.mark.parametrize("name", CONFIGS)
def test_rows_that_come_and_go_get_the_tokens_that_generate_gives_them_alone(name: str, is_served: bool) -> None:
    torch.manual_seed(0)
    reference = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    model = copy.deepcopy(reference)
    if is_served:
        use_fast_attention(model)
        pack(model)
        assert has_llama_forward(model) == (name in LLAMA_SHAPED)
    draw = random.Random(0)
    prompts = [[draw.randrange(3, VOCAB) for _ in range(draw.randint(1, 30))] for _ in range(10)]
    counts = [draw.randint(1, 20) for _ in prompts]
    rows = [Row(prompt, Sampling(temperature=0.0)) for prompt in prompts]
    wanted = dict(zip(rows, counts, strict=True))
    written: dict[Row, list[int]] = {row: [] for row in rows}
    waiting = list(rows)
    batch = Batch(model)

    def note(advanced: list[Row], tokens: list[int]) -> None:
        for row, token in zip(advanced, tokens, strict=True):
            written[row].append(token)
        batch.drop([row for row in advanced if len(written[row]) == wanted[row]])

    while waiting or batch.rows:
        if batch.rows:
            note(list(batch.rows), batch.step())
        joining = [waiting.pop() for _ in range(min(len(waiting), draw.choice([0, 0, 1, 3])))]
        if joining:
            note(joining, batch.join(joining))
    expected = [expected_tokens(reference, prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
    assert [written[row] for row in rows] == expected
