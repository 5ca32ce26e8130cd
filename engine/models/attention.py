"""Attention for one new token a row, as the CPU computes it fastest; everything else is left to PyTorch.

Knows transformers' attention interface. Knows nothing of caches or batches. `scaled_dot_product_attention` splits its
work for long queries; with one query a row, two batched matrix products are faster (decision 12), and need no copies of
the keys and values where several query heads share them.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

_NAME = "ovation"


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
    """Softmax attention (arXiv 1706.03762, equation 1).

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


def is_used(model: PreTrainedModel) -> bool:
    """Whether a model attends like this."""
    return bool(model.config._attn_implementation == _NAME)


def use(model: PreTrainedModel) -> None:
    """Let a model on the CPU attend like this, if it would use PyTorch's own attention."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, attend)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        model.set_attn_implementation(_NAME)
