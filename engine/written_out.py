"""One step of a model of Llama's shape, written out: the same numbers, without what every call looks up anew.

transformers' forward pass spends most of a small model's step in Python: masks, wrappers, a norm of seven operations.
Here only new tokens are read, one a row, on the CPU. Knows the layers of Llama, Mistral, Qwen2 and Qwen3, and PEFT's
LoRA around their projections. Knows nothing of requests; models of any other shape are stepped by their own forward.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from engine import attention
from engine.cache import RowsCache

_SHAPES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})

_Operation = Callable[[Tensor], Tensor]


def can_step(model: PreTrainedModel) -> bool:
    """Whether a `Step` does for this model what its own forward would do."""
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        type(model).__name__ in _SHAPES
        and layers == {"full_attention"}
        and getattr(config, "sliding_window", None) is None
        and getattr(config, "hidden_act", None) == "silu"
        and attention.is_used(model)
    )


class Step:
    """A model as it is now, its active adapter included; make another one when that changes."""

    def __init__(self, model: PreTrainedModel) -> None:
        body: Any = model.model
        self._embed, self._rotary = body.embed_tokens, body.rotary_emb
        self._layers = [_Layer(layer) for layer in body.layers]
        self._norm, self._head = _norm(body.norm), _projection(model.lm_head)

    def __call__(self, ids: Tensor, positions: Tensor, hidden: Tensor | None, cache: RowsCache) -> Tensor:
        """Read one new token a row.

        `ids` and `positions` are (rows, 1), `hidden` is (rows, columns), True where a row has no token, or None;
        `cache` gets the new column. Returns the logits (rows, vocab).
        """
        states = self._embed(ids)
        cos, sin = self._rotary(states, position_ids=positions)  # (rows, 1, head_dim)
        half = sin.shape[-1] // 2
        cos, sin = cos.unsqueeze(1), torch.cat((-sin[..., :half], sin[..., half:]), dim=-1).unsqueeze(1)
        bias = None
        if hidden is not None:
            bias = states.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None, None]
        states = states[:, 0]
        for layer, kept in zip(self._layers, cache.layers, strict=True):
            states = layer(states, cos, sin, bias, kept)
        return self._head(self._norm(states))


class _Layer:
    """Attention and feed-forward network of one layer."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401 - a module of transformers
        mixer, network = layer.self_attn, layer.mlp
        self._before, self._between = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self._query, self._key, self._value = map(_projection, (mixer.q_proj, mixer.k_proj, mixer.v_proj))
        self._out = _projection(mixer.o_proj)
        self._norm_query = _norm(mixer.q_norm) if hasattr(mixer, "q_norm") else None
        self._norm_key = _norm(mixer.k_norm) if hasattr(mixer, "k_norm") else None
        self._gate, self._up, self._down = map(_projection, (network.gate_proj, network.up_proj, network.down_proj))
        self._width, self._scaling, self._mixer = mixer.head_dim, mixer.scaling, mixer

    def __call__(self, states: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None, kept: Any) -> Tensor:  # noqa: ANN401
        """(rows, features) -> (rows, features); `cos` and signed `sin` are (rows, 1, 1, head_dim)."""
        normed = self._before(states)
        heads = (len(normed), -1, 1, self._width)
        query, key = self._query(normed).view(heads), self._key(normed).view(heads)
        if self._norm_query is not None and self._norm_key is not None:
            query, key = self._norm_query(query), self._norm_key(key)
        key, value = kept.update(_rotated(key, cos, sin), self._value(normed).view(heads))
        query = _rotated(query, cos, sin)
        mixed, _ = attention.attend(self._mixer, query, key, value, bias, scaling=self._scaling)
        states = states + self._out(mixed.flatten(1))
        normed = self._between(states)
        return states + self._down(F.silu(self._gate(normed)).mul_(self._up(normed)))


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (RoFormer, arXiv 2104.09864, equation 34) of (rows, heads, 1, head_dim)."""
    return heads * cos + heads.roll(heads.shape[-1] // 2, dims=-1) * sin


def _norm(layer: Any) -> _Operation:  # noqa: ANN401 - a module of transformers
    weight, shape, epsilon = layer.weight, layer.weight.shape, layer.variance_epsilon
    return lambda states: torch.rms_norm(states, shape, weight, epsilon)


def _projection(layer: Any) -> _Operation:  # noqa: ANN401 - linear, or PEFT's LoRA around a linear
    """(rows, in) -> (rows, out), with the active adapter in two operations where PEFT's own forward takes five."""
    if not hasattr(layer, "lora_A"):
        plain: _Operation = layer.forward
        return plain
    active = [] if layer._disable_adapters else [name for name in layer._active_adapter if name in layer.lora_A]
    if any(layer.use_dora.get(name) for name in active):
        peft: _Operation = layer.forward
        return peft
    operation = _projection(layer.base_layer)
    for name in active:
        operation = _adapted(operation, layer.lora_A[name], layer.lora_B[name], layer.scaling[name])
    return operation


def _adapted(base: _Operation, down: nn.Linear, up: nn.Linear, scaling: float) -> _Operation:
    """W x + scaling B A x (LoRA, arXiv 2106.09685, equation 3)."""
    a, b = down.weight.t(), up.weight.t()
    return lambda states: torch.addmm(base(states), states @ a, b, alpha=scaling)
