"""What makes a model's layers cheap to serve: attention of one query a row, and linear layers that are packed for the
CPU's matrix kernels or in eight bits. Only for inference: the linear layers have no gradient.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.pytorch_utils import Conv1D

_ATTENTION = "ovation"
_PACKED_FOR_ROWS = 64
"""The batch that the packing is best for; any other works."""
_INT8_MAX = 127
_SMALLEST_SCALE = 1e-12
"""Keeps rows of zeros from a division by zero."""
_CUDA_ROWS = 32
"""cuBLAS multiplies int8 matrices of more than 16 rows only."""


def use_fast_attention(model: PreTrainedModel) -> None:
    """Let a model on the CPU compute `attend`, if it would use PyTorch's own attention."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(_ATTENTION, attend)
        AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
        model.set_attn_implementation(_ATTENTION)


def uses_fast_attention(model: PreTrainedModel) -> bool:
    """Whether `use_fast_attention` has taken effect."""
    return bool(model.config._attn_implementation == _ATTENTION)


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


def pack(model: PreTrainedModel) -> None:
    """Replace the float32 linear layers of a model on the CPU; elsewhere, or without oneDNN, nothing is done."""
    if model.device.type == "cpu" and torch.backends.mkldnn.is_available():
        _replace(model, nn.Linear, lambda layer: PackedLinear(layer) if layer.weight.dtype == torch.float32 else layer)


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
    """float32 on the CPU with the weight laid out once for oneDNN's kernels instead of at every call."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__(dense)
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(dense.weight.detach(), _PACKED_FOR_ROWS)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # a parameter in nn.Linear
        """The weight (out, in), unpacked anew at every access."""
        return self.packed.to_dense()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the parent's name
        """(..., in) -> (..., out)."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")
        return output


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
            rows = nn.functional.pad(rows, (0, 0, 0, _CUDA_ROWS - needed))
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
