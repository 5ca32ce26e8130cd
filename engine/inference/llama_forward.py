"""The forward pass of models of Llama's shape, written out: the same numbers, without what every call looks up anew.

transformers' own spends most of a small model's step in Python: masks, wrappers, a norm of seven operations. Knows the
layers of Llama, Mistral, Qwen2 and Qwen3, and PEFT's LoRA around their projections; models of any other shape, and
GPUs, take their own forward.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from engine.inference.kv_cache import RowsCache
from engine.models.layers import attend, uses_fast_attention

_SHAPES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})

_Operation = Callable[[Tensor], Tensor]


def can_replace(model: PreTrainedModel) -> bool:
    """Whether a `Forward` does for this model what its own forward would do."""
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        type(model).__name__ in _SHAPES
        and layers == {"full_attention"}
        and getattr(config, "sliding_window", None) is None
        and getattr(config, "hidden_act", None) == "silu"
        and uses_fast_attention(model)
    )


class Forward:
    """A model as it is now, its active adapter included; make another one when that changes."""

    def __init__(self, model: PreTrainedModel) -> None:
        body: Any = model.model
        self._embed, self._rotary = body.embed_tokens, body.rotary_emb
        self._layers = [_Layer(layer, number) for number, layer in enumerate(body.layers)]
        self._norm, self._head = _norm(body.norm), _projection(model.lm_head)

    def __call__(self, ids: Tensor, positions: Tensor, hidden: Tensor | None, cache: RowsCache) -> Tensor:
        """Read new tokens into `cache`; returns the logits (rows, vocab) after the last.

        `ids` and `positions` are (rows, new columns); `hidden` is (rows, all columns), True where a row has no token,
        or None if each has one everywhere. The cache is empty, or one column is new.
        """
        states = self._embed(ids)  # (rows, new columns, features)
        cos, sin = self._rotary(states, position_ids=positions)  # (rows, new columns, head_dim)
        half = sin.shape[-1] // 2
        cos, sin = cos.unsqueeze(1), torch.cat((-sin[..., :half], sin[..., half:]), dim=-1).unsqueeze(1)
        bias = None if hidden is None else _bias(hidden, ids.shape[1], states)
        for layer in self._layers:
            states = layer(states, cos, sin, bias, cache)
        return self._head(self._norm(states[:, -1]))


def _bias(hidden: Tensor, new: int, states: Tensor) -> Tensor:
    """What is added to the scores: (rows, 1, new columns, columns), 0 where a token sees a column.

    A column without a token sees itself, for its numbers must be finite.
    """
    unseen = hidden[:, None, None]
    if new > 1:
        later = torch.ones(new, new, dtype=torch.bool, device=hidden.device).triu(diagonal=1)
        unseen = (unseen | later) & ~torch.eye(new, dtype=torch.bool, device=hidden.device)
    return states.new_zeros(unseen.shape).masked_fill_(unseen, -torch.inf)


class _Layer:
    """Attention and feed-forward network of one layer."""

    def __init__(self, layer: Any, number: int) -> None:  # noqa: ANN401 - a module of transformers
        mixer, network = layer.self_attn, layer.mlp
        self._before, self._between = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self._query, self._key, self._value = map(_projection, (mixer.q_proj, mixer.k_proj, mixer.v_proj))
        self._out = _projection(mixer.o_proj)
        self._norm_query = _norm(mixer.q_norm) if hasattr(mixer, "q_norm") else None
        self._norm_key = _norm(mixer.k_norm) if hasattr(mixer, "k_norm") else None
        self._gate, self._up, self._down = map(_projection, (network.gate_proj, network.up_proj, network.down_proj))
        self._width, self._scaling, self._mixer, self._number = mixer.head_dim, mixer.scaling, mixer, number

    def __call__(self, states: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None, cache: RowsCache) -> Tensor:
        """(rows, new columns, features), the same back; `cos` and signed `sin` are (rows, 1, new columns, head_dim)."""
        normed = self._before(states)
        heads = (*states.shape[:2], -1, self._width)
        query, key = self._query(normed).view(heads), self._key(normed).view(heads)
        if self._norm_query is not None and self._norm_key is not None:
            query, key = self._norm_query(query), self._norm_key(key)
        query, key = _rotated(query.transpose(1, 2), cos, sin), _rotated(key.transpose(1, 2), cos, sin)
        key, value = cache.update(key, self._value(normed).view(heads).transpose(1, 2), self._number)
        mixed, _ = attend(self._mixer, query, key, value, bias, scaling=self._scaling)
        states = states + self._out(mixed.flatten(2))
        normed = self._between(states)
        return states + self._down(F.silu(self._gate(normed)).mul_(self._up(normed)))


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (RoFormer, arXiv 2104.09864, equation 34) of (rows, heads, new columns, head_dim)."""
    return heads * cos + heads.roll(heads.shape[-1] // 2, dims=-1) * sin


def _norm(layer: Any) -> _Operation:  # noqa: ANN401 - a module of transformers
    weight, shape, epsilon = layer.weight, layer.weight.shape, layer.variance_epsilon
    return lambda states: torch.rms_norm(states, shape, weight, epsilon)


def _projection(layer: Any) -> _Operation:  # noqa: ANN401 - linear, or PEFT's LoRA around a linear
    """(..., in) -> (..., out), with the active adapter in half the operations of PEFT's own forward."""
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
    a, b = down.weight.t(), up.weight.t() * scaling
    return lambda states: base(states).add_((states @ a) @ b)
