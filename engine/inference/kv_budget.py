"""How many keys and values may be in memory at once, and who holds them.

The unit is one token's keys and values in all layers. A batch is a rectangle, as wide as its widest row, so what it
holds is rows x the most that any of its rows may reach: prompt and answer together. That is reserved before a row
joins, so no step can need more than was promised. The cache's spare rows and columns come on top, by a quarter or so.

Knows a model's config and device. Knows nothing of requests or of the cache itself.
"""

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Final

import torch
from transformers import PretrainedConfig, PreTrainedModel

from engine.models.model import Base

SHARE: Final = 0.25
"""Of the free memory. The rest is for reading prompts, the logits, growing the cache (the old and the new are there
for a moment), versions, and for others."""

_CGROUP = Path("/sys/fs/cgroup")


class KvBudget:
    """What each batch has reserved of `limit` tokens."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reaches: dict[Hashable, list[int]] = {}

    @property
    def reserved(self) -> int:
        """Tokens that the batches may come to hold, padding included."""
        return sum(map(_padded, self._reaches.values()))

    def fits(self, batch: Hashable, reach: int) -> bool:
        """Whether one more row that may reach `reach` tokens fits into a batch."""
        others = sum(_padded(reaches) for key, reaches in self._reaches.items() if key != batch)
        return others + _padded([*self._reaches.get(batch, ()), reach]) <= self.limit

    def take(self, batch: Hashable, reach: int) -> None:
        """Reserve for a row."""
        self._reaches.setdefault(batch, []).append(reach)

    def give_back(self, batch: Hashable, reach: int) -> None:
        """Free what `take` reserved."""
        self._reaches[batch].remove(reach)
        if not self._reaches[batch]:
            del self._reaches[batch]


def _padded(reaches: list[int]) -> int:
    return len(reaches) * max(reaches)


def default_kv_tokens(base: Base) -> int:
    """As many tokens as a quarter of the free memory holds, and never fewer than one whole context."""
    affordable = int(SHARE * free_bytes(base.model.device)) // bytes_per_token(base.model)
    return max(affordable, base.context_tokens)


def bytes_per_token(model: PreTrainedModel) -> int:
    """What the keys and values of one token take: 2 x layers x key/value heads x their width x bytes a number."""
    config: PretrainedConfig = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """Memory that can be had on a device now; on the CPU no more than the container has left (cgroup v2)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if (memory := Path("/proc/meminfo")).exists():
        told = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        free = int(told["MemAvailable"].split()[0]) << 10
    try:
        left = int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no cgroup, or one without a limit, which is the word max
        return free
    return max(min(free, left), 0)
