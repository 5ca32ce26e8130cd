"""What is known of transformers' architectures: which of them can be batched exactly, how long their context is, and
which cannot write texts here at all."""

import math
from collections.abc import Mapping
from typing import Any, Final

from torch import nn
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from engine.errors import ModelError

BATCHED: Final = frozenset(
    "afmoe apertus arcee aria_text biogpt bitnet bloom codegen cohere cohere2 cohere2_moe cwm diffllama dots1 emu3"
    " ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon flex_olmo flint gemma gemma2 gemma3_text gemma4 gemma4_text glm"
    " glm4 glm4_moe gpt2 gpt_bigcode gpt_neox gpt_neox_japanese gpt_oss gptj granite granite_swa granitemoe"
    " granitemoe_swa granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax jais2 jetmoe kolibri1"
    " laguna llama llama4_text mellum mimo_v2_flash minimax_m2 minimax_m3_vl_text ministral ministral3 mistral mixtral"
    " modernbert-decoder mpt nanochat nemotron olmo olmo2 olmo3 olmoe opt persimmon phi phi3 phimoe qwen2 qwen2_moe"
    " qwen3 qwen3_moe seed_oss smollm3 solar_open stablelm starcoder2 vaultgemma xglm".split()
)
"""Types of models whose rows, padded on the left and together, get the tokens that `generate` gives each alone, also
with our attention (`layers.attend`). Each is held to that by `tests/engine/inference/test_architectures.py`, where a
new one is to be tried before it is named here; all others are read one row at a time, which is slower."""

_STATELESS_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_UNKNOWN_CONTEXT = 2048
"""Of models that name none: as much as the smallest of them were trained on."""


def refuse_type(config: Mapping[str, Any], source: str) -> None:
    """Refuse a model by its config.json, before its weights are read.

    Raises:
        ModelError: models of its type write no texts of their own.
    """
    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING_NAMES:
        return
    if config.get("is_encoder_decoder") or getattr(CONFIG_MAPPING[kind], "is_encoder_decoder", False):
        why = "an encoder with a decoder"
    elif kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        why = "not a causal language model"
    elif kind not in BATCHED and config.get("is_decoder", getattr(CONFIG_MAPPING[kind], "is_decoder", None)) is False:
        why = "an encoder"
    else:
        return
    raise ModelError(f"The model {source!r} ({kind}) is {why}; choose one that writes, such as a chat model of Qwen3.")


def refuse_layers(model: PreTrainedModel, source: str) -> None:
    """Refuse a model by its layers.

    Raises:
        ModelError: it keeps another state than keys and values between tokens.
    """
    kind = model.config.model_type
    layers = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - _STATELESS_LAYERS
    if layers:
        raise ModelError(
            f"The model {source!r} ({kind}) has {', '.join(sorted(layers))} layers; choose one with attention only."
        )
    if getattr(model, "_is_stateful", False):
        raise ModelError(f"The model {source!r} ({kind}) is a recurrent network; choose one with attention only.")


def is_batched(model: PreTrainedModel) -> bool:
    """Whether rows of this model can be read together; also where they are short only."""
    kind = model.config.model_type
    return kind in BATCHED or kind not in CONFIG_MAPPING_NAMES  # a plug-in's, which says so by being one


def tokens_together(model: PreTrainedModel) -> float:
    """Up to how many tokens, prompt and text, rows can be read together; infinite for most, 0 for none.

    Dynamic NTK and LongRoPE turn all positions otherwise once a row is longer than the model was trained for.
    """
    if not is_batched(model):
        return 0
    config = model.config.get_text_config()
    limit = math.inf
    for rope in _ropes(config):
        kind = str(rope.get("rope_type"))
        if "dynamic" in kind:
            limit = min(limit, config.max_position_embeddings - 1)
        elif kind == "longrope":
            limit = min(limit, rope.get("original_max_position_embeddings") or config.original_max_position_embeddings)
    return limit


def reset_positions(model: nn.Module) -> None:
    """Let positions that grow with the longest row so far (dynamic NTK) be as in a model that has read nothing."""
    for module in model.modules():
        if "dynamic" not in str(getattr(module, "rope_type", "")):
            continue
        for name in [name for name, _ in module.named_buffers(recurse=False) if name.endswith("inv_freq")]:
            original = getattr(module, f"{name.removesuffix('inv_freq')}original_inv_freq", None)
            if original is not None:
                setattr(module, name, original)
        for name in [name for name in vars(module) if name.endswith("max_seq_len_cached")]:
            setattr(module, name, module.original_max_seq_len)


def context_tokens(config: PretrainedConfig) -> int:
    """How many tokens a prompt and its answer may have together."""
    named = (getattr(config, name, None) for name in _CONTEXT_NAMES)
    return next((int(length) for length in named if isinstance(length, int) and length > 0), _UNKNOWN_CONTEXT)


def _ropes(config: PretrainedConfig) -> list[Mapping[str, Any]]:
    """The parameters of its rotary positions, by kinds of layers where these differ."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [each for each in parameters.values() if isinstance(each, Mapping)]
    return nested or [parameters]
