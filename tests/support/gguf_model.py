"""A tiny Llama with random weights as a GGUF file, and ways to spoil it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

WIDTH, HEADS, CONTEXT_TOKENS = 32, 4, 128
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CONTROL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    template: str | None = TEMPLATE,
    has_end: bool = True,
    heads: int = HEADS,
    width: int = WIDTH,
    merges: Sequence[str] = ("t h", "h e"),
    without: str = "nothing",
) -> np.ndarray[Any, Any]:
    """Write the file, with what it says of itself, and `without` one sort of weights; returns the embeddings."""
    tokens = [*_CONTROL, *sorted(ByteLevel.alphabet()), "th", "he"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_license("apache-2.0")
    writer.add_name("Tiny")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * len(_CONTROL) + [gguf.TokenType.NORMAL] * (len(tokens) - 4))
    writer.add_token_merges(merges)
    if has_end:
        writer.add_eos_token_id(0)
        writer.add_pad_token_id(0)
    if template is not None:
        writer.add_chat_template(template)
    chance = np.random.default_rng(1)

    def random(*shape: int) -> np.ndarray[Any, Any]:
        return chance.normal(0, 0.3, shape).astype(np.float32)

    embeddings = random(len(tokens), WIDTH)
    layer = {
        "attn_norm": np.ones(WIDTH, np.float32), "ffn_norm": np.ones(WIDTH, np.float32),
        **{f"attn_{name}": random(WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
        "ffn_gate": random(2 * WIDTH, WIDTH), "ffn_up": random(2 * WIDTH, WIDTH), "ffn_down": random(WIDTH, 2 * WIDTH),
    }  # fmt: skip
    writer.add_tensor("token_embd.weight", embeddings)
    for name in layer.keys() - {without}:
        writer.add_tensor(f"blk.0.{name}.weight", layer[name])
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings
