"""What makes a model cheap to serve: attention of one query a row, linear layers that are packed for the CPU's matrix
kernels or in eight bits, and the forward pass of Llama's shape written out. Only for inference: nothing has a gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.pytorch_utils import Conv1D

from engine.models.architectures import is_batched

_ATTENTION = "ovation"
_LLAMA_SHAPED = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_PACKED_FOR_ROWS = 64
"""The batch that the packing is best for; any other works."""
_LARGE = 50_000_000
"""Multiplications a token. A step of fewer is short in float32, and long beside what it takes to clear memory."""
_INT8_MAX = 127
_SMALLEST_SCALE = 1e-12
"""Keeps rows of zeros from a division by zero."""
_CUDA_ROWS = 32
"""cuBLAS multiplies int8 matrices of more than 16 rows only."""

_Operation = Callable[[Tensor], Tensor]


def use_fast_attention(model: PreTrainedModel) -> None:
    """Let a model on the CPU compute `attend`, if it would use PyTorch's own attention, of an architecture we know."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa" and is_batched(model):
        AttentionInterface.register(_ATTENTION, attend)
        AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
        model.set_attn_implementation(_ATTENTION)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **options: Any,  # noqa: ANN401 - whatever a model passes on
) -> tuple[Tensor, None]:
    """Softmax attention (arXiv 1706.03762, equation 1), by PyTorch's own where more than one token a row is new.

    `scaled_dot_product_attention` splits its work for long queries; with one query a row, two batched matrix products
    are faster (decision 12), and need no copies of the keys and values where several query heads share them.

    `query` is (rows, heads, new columns, head_dim), `key` and `value` (rows, key heads, columns, head_dim),
    `attention_mask` (rows, 1, new columns, columns), False or minus infinity where a column is hidden; returns
    (rows, new columns, heads, value head_dim).
    """
    if query.shape[2] != 1 or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    rows, heads, _, width = query.shape
    scaled = query * (width**-0.5 if scaling is None else scaling)
    groups = scaled.reshape(rows, key.shape[1], -1, width)  # the heads of one key head as if they were columns
    scores = groups @ key.transpose(-1, -2)  # (rows, key heads, heads a group, columns)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores.masked_fill_(~attention_mask, -torch.inf)
    elif attention_mask is not None:
        scores += attention_mask
    return (scores.softmax(dim=-1) @ value).reshape(rows, 1, heads, -1), None


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: by avx512_bf16 or AMX."""
    return torch.backends.mkldnn.is_available() and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def gains_by_bfloat16(model: PreTrainedModel) -> bool:
    """Whether a model is on a processor that has fast bfloat16, and large enough to be worth the rounding."""
    return model.device.type == "cpu" and is_large(model) and has_fast_bfloat16()


def is_large(model: nn.Module) -> bool:
    """Whether a step of the model takes long beside what is done around it."""
    return multiplications_per_token(model) >= _LARGE


def pack(model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> None:
    """Replace the float32 linear layers of a model on the CPU; elsewhere, or without oneDNN, nothing is done."""
    if model.device.type == "cpu" and torch.backends.mkldnn.is_available():
        _replace(
            model, nn.Linear, lambda layer: PackedLinear(layer, dtype) if layer.weight.dtype == torch.float32 else layer
        )


def round_frozen(model: PreTrainedModel) -> None:
    """Let the linear layers of a model on the CPU multiply bfloat16, and pass gradients on; they are not trained.

    The output layer stays as it is: its rounding alone would be half a nat of a text's log-probability.
    """
    head = model.get_output_embeddings()
    _replace(
        model,
        nn.Linear,
        lambda layer: layer if layer is head or layer.weight.dtype != torch.float32 else RoundedLinear(layer),
    )


def quantize(model: PreTrainedModel) -> None:
    """Replace every linear layer and plain embedding by eight-bit ones; a head that is tied shares the table."""
    tables: dict[int, tuple[Tensor, Tensor]] = {}

    def embedding(layer: nn.Embedding) -> Int8Embedding:
        small = Int8Embedding(layer)
        tables[layer.weight.data_ptr()] = (small.quantized, small.scales)
        return small

    _replace(model, nn.Embedding, embedding)
    _replace(model, nn.Linear, lambda layer: Int8Linear(layer, tables.get(layer.weight.data_ptr())))


def _replace(model: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Put something else in the place of every module that is exactly of this kind."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, make(child))


def multiplications_per_token(model: nn.Module) -> int:
    """How many multiplications the linear layers take to read one token."""
    linear = (m.in_features * m.out_features for m in model.modules() if isinstance(m, nn.Linear))
    return sum(linear) + sum(m.weight.numel() for m in model.modules() if isinstance(m, Conv1D))


class _ServedLinear(nn.Linear):
    """A linear layer that keeps its weight (out, in) in another form; `weight` unfolds it, at a price.

    PEFT takes any subclass of `nn.Linear` and asks it for its sizes and, rarely, its dense weight; so these must be in
    place before an adapter is.
    """

    def __init__(self, dense: nn.Linear) -> None:
        nn.Module.__init__(self)  # and not Linear's, which would allocate a dense weight
        self.in_features, self.out_features = dense.in_features, dense.out_features
        self.bias = dense.bias


class PackedLinear(_ServedLinear):
    """float32 on the CPU with the weight laid out once for oneDNN's kernels instead of at every call.

    With the weight as bfloat16, inputs and outputs are rounded to it as well, and the products summed in float32.
    Whatever lies between linear layers (norms, attention, adapters, logits) stays float32.
    """

    def __init__(self, dense: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(dense)
        self.bias = None if dense.bias is None else nn.Parameter(dense.bias.detach().to(dtype), requires_grad=False)
        weight = dense.weight.detach().to(dtype)
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR_ROWS)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # a parameter in nn.Linear
        """The weight (out, in) as float32, unpacked anew at every access."""
        return self.packed.to_dense().float()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """(..., in) -> (..., out), both float32."""
        given = input.to(self.packed.dtype)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(given, self.packed, self.bias, "none", [], "")
        return output.to(input.dtype)


class RoundedLinear(nn.Linear):
    """Its weight and inputs are bfloat16, products are summed in float32; adapters on it stay float32."""

    def __init__(self, dense: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = dense.in_features, dense.out_features
        self.weight = nn.Parameter(dense.weight.detach().to(torch.bfloat16), requires_grad=False)
        bias = dense.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(torch.bfloat16), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """(..., in) -> (..., out), both float32."""
        return F.linear(input.to(self.weight.dtype), self.weight, self.bias).to(input.dtype)


class Int8Linear(_ServedLinear):
    """Weights and inputs as int8 with one scale a row, products summed exactly in int32.

    "Vector-wise quantization" of LLM.int8() (arXiv 2208.07339, section 2.1 and equation 4) without its outlier
    columns: X W^T is about s_x (Q_x Q_w^T) s_w, where s is each row's absolute maximum over 127. Since every row of X
    has a scale of its own and integer sums do not round, a row's result does not depend on the rest of the batch.
    """

    def __init__(self, dense: nn.Linear, table: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__(dense)
        self.quantized, self.scales = table or _quantize(dense.weight.detach())

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight (out, in) as float32, computed anew at every access."""
        return self.quantized * self.scales

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """(..., in) -> (..., out)."""
        rows, scales = _quantize(input.reshape(-1, self.in_features))
        needed = len(rows)
        if rows.is_cuda and needed < _CUDA_ROWS:
            rows = F.pad(rows, (0, 0, 0, _CUDA_ROWS - needed))
        sums = torch._int_mm(rows, self.quantized.t())[:needed]
        output = (sums * scales * self.scales.t()).to(input.dtype).view(*input.shape[:-1], self.out_features)
        return output if self.bias is None else output + self.bias


class Int8Embedding(nn.Module):
    """A lookup table (tokens, features) in int8 with one scale a token."""

    def __init__(self, dense: nn.Embedding) -> None:
        super().__init__()
        self.dtype = dense.weight.dtype
        self.quantized, self.scales = _quantize(dense.weight.detach())

    def forward(self, ids: Tensor) -> Tensor:
        """(...) of token ids -> (..., features)."""
        return (self.quantized[ids] * self.scales[ids]).to(self.dtype)


def _quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, columns) -> int8 of the same shape and float32 scales (rows, 1)."""
    scales = rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=_SMALLEST_SCALE) / _INT8_MAX
    return (rows / scales).round().to(torch.int8), scales


def has_llama_forward(model: PreTrainedModel) -> bool:
    """Whether a `LlamaForward` does for this model what its own forward would do: not on GPUs, nor for other shapes."""
    config = model.config
    return (
        type(model).__name__ in _LLAMA_SHAPED
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and getattr(config, "sliding_window", None) is None
        and getattr(config, "hidden_act", None) == "silu"
        and config._attn_implementation == _ATTENTION
    )


class LlamaForward:
    """The forward pass of Llama, Mistral, Qwen2 and Qwen3 with PEFT's LoRA: the same numbers as by transformers' own,
    which spends most of a small model's step in Python, on masks, wrappers and a norm of seven operations.

    It is the model as it is now, its active adapter included; make another one when that changes.
    """

    def __init__(self, model: PreTrainedModel, *, in_bfloat16: bool = False) -> None:
        """With `in_bfloat16`, copies of the float32 weights are packed as bfloat16 and multiplied in their place."""
        body: Any = model.model
        self._embed, self._rotary = body.embed_tokens, body.rotary_emb
        projection = partial(_projection, in_bfloat16=in_bfloat16)
        self._layers = [_LlamaLayer(layer, number, projection) for number, layer in enumerate(body.layers)]
        self._norm, self._head = _norm(body.norm), projection(model.lm_head)

    def __call__(self, ids: Tensor, positions: Tensor, hidden: Tensor | None, cache: Cache) -> Tensor:
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


class _LlamaLayer:
    """Attention and feed-forward network of one layer."""

    def __init__(self, layer: Any, number: int, projection: Callable[[Any], _Operation]) -> None:  # noqa: ANN401 - a module of transformers
        mixer, network = layer.self_attn, layer.mlp
        self._before, self._between = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self._query, self._key, self._value = map(projection, (mixer.q_proj, mixer.k_proj, mixer.v_proj))
        self._out = projection(mixer.o_proj)
        self._norm_query = _norm(mixer.q_norm) if hasattr(mixer, "q_norm") else None
        self._norm_key = _norm(mixer.k_norm) if hasattr(mixer, "k_norm") else None
        self._gate, self._up, self._down = map(projection, (network.gate_proj, network.up_proj, network.down_proj))
        self._width, self._scaling, self._mixer, self._number = mixer.head_dim, mixer.scaling, mixer, number

    def __call__(self, states: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None, cache: Cache) -> Tensor:
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


def _projection(layer: Any, *, in_bfloat16: bool) -> _Operation:  # noqa: ANN401 - linear, or PEFT's LoRA around a linear
    """(..., in) -> (..., out), with the active adapter in half the operations of PEFT's own forward."""
    if not hasattr(layer, "lora_A"):
        is_dense = type(layer) is RoundedLinear or (type(layer) is nn.Linear and layer.weight.dtype == torch.float32)
        plain: _Operation = (PackedLinear(layer, torch.bfloat16) if in_bfloat16 and is_dense else layer).forward
        return plain
    active = [] if layer._disable_adapters else [name for name in layer._active_adapter if name in layer.lora_A]
    if any(layer.use_dora.get(name) for name in active):
        peft: _Operation = layer.forward
        return peft
    operation = _projection(layer.base_layer, in_bfloat16=in_bfloat16)
    for name in active:
        operation = _adapted(operation, layer.lora_A[name], layer.lora_B[name], layer.scaling[name])
    return operation


def _adapted(base: _Operation, down: nn.Linear, up: nn.Linear, scaling: float) -> _Operation:
    """W x + scaling B A x (LoRA, arXiv 2106.09685, equation 3)."""
    a, b = down.weight.t(), up.weight.t() * scaling
    return lambda states: base(states).add_((states @ a) @ b)
