"""Tiny models with random weights, of any causal architecture that transformers has."""

import inspect
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

VOCAB = 64
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 32, "d_model": 32, "n_embd": 32, "intermediate_size": 48, "ffn_dim": 48,
    "moe_intermediate_size": 16, "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "decoder_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "decoder_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "kv_channels": 8, "max_position_embeddings": 128, "n_positions": 128, "max_seq_len": 128,
    "sliding_window": 8, "rotary_dim": 4, "num_experts": 4, "n_routed_experts": 4, "num_local_experts": 4,
    "num_experts_per_tok": 2, "moe_topk": 2, "moe_num_experts": 4, "moe_k": 2, "n_group": 1, "topk_group": 1,
    "n_shared_experts": 1, "moe_num_shared_experts": 1, "first_k_dense_replace": 1, "expert_ffn_hidden_size": 16,
    "shared_expert_intermediate_size": 16, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB,
    "layer_types": None, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
"""By every name that a config has for it; where a window is part of it, smaller than what the tests read."""


def tiny_config(kind: str, **more: Any) -> PreTrainedConfig:
    """A config of this `model_type`, small by whatever names it has for its sizes."""
    return _config(CONFIG_MAPPING[kind], _SIZES | more)


def tiny_model(kind: str, **more: Any) -> PreTrainedModel:
    """A model of this `model_type`, with weights so wide that greedy texts wander."""
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(tiny_config(kind, **more)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3)
    model.generation_config.eos_token_id = model.generation_config.forced_eos_token_id = None
    return model


def _config(kind: Any, sizes: dict[str, Any]) -> PreTrainedConfig:
    known = {*inspect.signature(kind.__init__).parameters, *kind.attribute_map}
    given = {name: value for name, value in sizes.items() if name in known}
    given = {name: value for name, value in given.items() if kind.attribute_map.get(name) not in given}
    if "text_config" in (kind.sub_configs or {}):
        given["text_config"] = _config(kind.sub_configs["text_config"], sizes)
    config: PreTrainedConfig = kind(**given)
    return config
