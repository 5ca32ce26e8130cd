"""The key/value cache of a batch whose rows come and go between steps, and how much of it may be in memory at once.

Every row uses the last so many of the columns (left padding). Sliding-window models work, as every layer keeps all
columns and the model's mask hides the old ones; models with another state than keys and values (Mamba and its like) do
not. Every number left of a row's end is finite: masked columns get a weight of exactly zero, and zero times NaN is NaN.
"""

from collections.abc import Hashable, Sequence
from typing import Self, cast

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from engine.models.loader import Base
from engine.process import free_memory

_SPARE_COLUMNS = 64
"""Room for so many steps before the buffers are copied into larger ones."""
_MEMORY_SHARE = 0.25
"""Of the free memory. The rest is for reading prompts, the logits, growing the cache (the old and the new are there
for a moment), versions, and for others."""


class RowsLayer(DynamicLayer):
    """One attention layer's keys and values, in buffers with room for more rows and columns.

    The buffers have the shape (row capacity, heads, column capacity, head_dim). The live part is rows [0, rows) and
    columns [start, end); `keys` and `values` are views of it.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append the columns `key_states` and `value_states` (rows, heads, new columns, head_dim)."""
        new = key_states.shape[2]
        if not self.is_initialized:
            self._rows, self._start, self._end = key_states.shape[0], 0, 0
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self._buffers = (key_states[:, :, :0], value_states[:, :, :0])
        if self._end + new > self._buffers[0].shape[2]:
            self._reallocate(self._rows, self.width, after=new + _SPARE_COLUMNS)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self._rows, :, self._end : self._end + new] = states
        self._end += new
        return self._refresh()

    @property
    def width(self) -> int:
        """How many live columns there are."""
        return self._end - self._start

    def join(self, other: Self) -> None:
        """Append the rows of `other`, right-aligned, as all rows are."""
        rows, width = self._rows + other._rows, max(self.width, other.width)
        if rows > self._buffers[0].shape[0] or self._end < width:
            self._reallocate(rows * 5 // 4, width, after=_SPARE_COLUMNS)
        for buffer, states in zip(self._buffers, other.live(), strict=True):
            buffer[self._rows : rows, :, : self._end - other.width] = 0
            buffer[self._rows : rows, :, self._end - other.width : self._end] = states
        self._rows, self._start = rows, self._end - width
        self._refresh()

    def spread(self, owners: Sequence[int]) -> None:
        """Let row i be a copy of the row `owners[i]` that was."""
        keys, values = self.live()
        self._buffers = (keys[owners], values[owners])
        self._rows, self._start, self._end = len(owners), 0, self.width
        self._refresh()

    def drop(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        self._rows -= 1
        for buffer in self._buffers:
            buffer[row] = buffer[self._rows]
        self._refresh()

    def narrow(self, width: int) -> None:
        """Forget all but the last `width` columns."""
        self._start = self._end - width
        self._refresh()

    def _reallocate(self, row_capacity: int, width: int, *, after: int) -> None:
        """Move the live part into larger buffers, `width` columns and then room for `after` more."""
        moved = []
        for buffer in self._buffers:
            _, heads, _, head_dim = buffer.shape
            larger = buffer.new_empty(row_capacity, heads, width + after, head_dim)
            larger[: self._rows, :, : width - self.width] = 0
            larger[: self._rows, :, width - self.width : width] = buffer[: self._rows, :, self._start : self._end]
            moved.append(larger)
        self._buffers = (moved[0], moved[1])
        self._start, self._end = width - self.width, width

    def _refresh(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = live = self.live()
        return live

    def live(self) -> tuple[Tensor, Tensor]:
        """Views (rows, heads, width, head_dim) of the keys and values in use."""
        part = (slice(0, self._rows), slice(None), slice(self._start, self._end))
        return self._buffers[0][part], self._buffers[1][part]


class RowsCache(Cache):
    """The cache of a whole model; a transformers `Cache`, so that any model takes it as `past_key_values`."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RowsLayer)

    @property
    def _rows_layers(self) -> list[RowsLayer]:
        return cast(list[RowsLayer], self.layers)

    @property
    def width(self) -> int:
        """How many live columns there are."""
        return self._rows_layers[0].width

    def newest(self) -> tuple[Tensor, Tensor]:
        """The first layer's newest column of keys and of values, each (rows, heads, head_dim)."""
        keys, values = self._rows_layers[0].live()
        return keys[:, :, -1], values[:, :, -1]

    def join(self, other: Self) -> None:
        """Append the rows of `other`, right-aligned, as all rows are."""
        for mine, theirs in zip(self._rows_layers, other._rows_layers, strict=True):
            mine.join(theirs)

    def spread(self, owners: Sequence[int]) -> None:
        """Let row i be a copy of the row `owners[i]` that was."""
        for layer in self._rows_layers:
            layer.spread(owners)

    def drop(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        for layer in self._rows_layers:
            layer.drop(row)

    def narrow(self, width: int) -> None:
        """Forget all but the last `width` columns, when no row uses more."""
        if width < self.width:
            for layer in self._rows_layers:
                layer.narrow(width)


class KvBudget:
    """What each batch has reserved of `limit` tokens' keys and values in all layers.

    A batch is a rectangle, as wide as its widest row, so what it holds is rows x the most that any of its rows may
    reach: prompt and answer together. That is reserved before a row joins, so no step can need more than was promised.
    The cache's spare rows and columns come on top, by a quarter or so.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lengths: dict[Hashable, list[int]] = {}

    @property
    def reserved(self) -> int:
        """Tokens that the batches may come to hold, padding included."""
        return sum(map(_padded, self._lengths.values()))

    def fits(self, batch: Hashable, max_length: int) -> bool:
        """Whether one more row that may reach so many tokens fits into a batch."""
        others = sum(_padded(lengths) for key, lengths in self._lengths.items() if key != batch)
        return others + _padded([*self._lengths.get(batch, ()), max_length]) <= self._limit

    def reserve(self, batch: Hashable, max_length: int) -> None:
        """Reserve for a row."""
        self._lengths.setdefault(batch, []).append(max_length)

    def release(self, batch: Hashable, max_length: int) -> None:
        """Free what was reserved for a row."""
        self._lengths[batch].remove(max_length)
        if not self._lengths[batch]:
            del self._lengths[batch]


def _padded(lengths: list[int]) -> int:
    return len(lengths) * max(lengths)


def default_kv_tokens(base: Base) -> int:
    """As many tokens as a quarter of the free memory holds, and never fewer than one whole context."""
    affordable = int(_MEMORY_SHARE * free_bytes(base.model.device)) // bytes_per_token(base.model)
    return max(affordable, base.context_tokens)


def bytes_per_token(model: PreTrainedModel) -> int:
    """What the keys and values of one token take: 2 x layers x key/value heads x their width x bytes a number.

    Where a config names its heads otherwise, as wide as its words: no key is wider.
    """
    config: PretrainedConfig = model.config.get_text_config()
    words = getattr(config, "hidden_size", None) or next(model.get_input_embeddings().parameters()).shape[-1]
    queries = getattr(config, "num_attention_heads", None) or 1
    heads = getattr(config, "num_key_value_heads", None) or queries
    width = getattr(config, "head_dim", None) or words // queries
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """Memory that can be had on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()
