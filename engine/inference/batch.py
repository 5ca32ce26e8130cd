"""One batch: rows of one version that are prefilled, stepped together, and leave when they like.

Knows a Hugging Face causal LM, its cache and sampling; token ids in, token ids out. Knows nothing of text, queues,
versions or threads. Rows are padded on the left, so positions are counted from each row's own first token.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import getrandbits

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine.api.types import Sampling
from engine.inference import llama_forward
from engine.inference.kv_cache import RowsCache
from engine.inference.sampler import RowSampler, draw
from engine.inference.watermark import Watermark
from engine.models.family import ORDINARY, ModelFamily


@dataclass(slots=True, eq=False)
class Row:
    """One sequence being written."""

    prompt: Sequence[int]
    sampling: Sampling
    sampler: RowSampler = field(init=False)
    cached: int = 0
    """How many of its tokens are in the cache."""
    newest: int = 0
    """The newest token, which the next step reads."""
    noise_seed: int = field(default_factory=lambda: getrandbits(31))
    """Decides the noise of a model that writes from some."""

    def __post_init__(self) -> None:
        if self.sampling.seed is not None:
            self.noise_seed = self.sampling.seed
        self.sampler = RowSampler(self.sampling, self.prompt)


class Batch:
    """Rows that share a forward pass, always with the same adapter active.

    `rows` is in the order of the cache's rows, which changes when rows leave.
    """

    def __init__(
        self, model: PreTrainedModel, watermark: Watermark | None = None, *, family: ModelFamily = ORDINARY
    ) -> None:
        self._model = model
        self._family = family
        self._watermark = watermark
        self._device = model.device
        self._cache = RowsCache()
        parameters = inspect.signature(model.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._takes_positions = "position_ids" in parameters
        self._is_written_out = llama_forward.can_replace(model)
        self._written_out: llama_forward.Forward | None = None
        self.rows: list[Row] = []

    @torch.inference_mode()
    def join(self, newcomers: Sequence[Row]) -> list[int]:
        """Read the newcomers' prompts, add them at the end of `rows`, and return the first token of each.

        Rows of the same prompt share one reading of it. Of a model that writes from noise, each gets its own first.
        """
        for row in newcomers:
            row.prompt = self._family.draw_noise(self._model, row.prompt, row.noise_seed)
        places: dict[tuple[int, ...], int] = {}
        owners = [places.setdefault(tuple(row.prompt), len(places)) for row in newcomers]
        width = max(map(len, places))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in places])
        cache = RowsCache()
        logits = self._read(ids, list(map(len, places)), cache)
        if len(places) < len(owners):
            logits = logits[owners]
            cache.spread(owners)
        for row in newcomers:
            row.cached = len(row.prompt)
        if self.rows:
            self._cache.join(cache)
        else:
            self._cache = cache
        self.rows += newcomers
        return self._drawn(logits, newcomers)

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Read every row's newest token and return every row's next, in the order of `rows`."""
        ids = torch.tensor([[row.newest] for row in self.rows])
        logits = self._read(ids, [row.cached + 1 for row in self.rows], self._cache)
        for row in self.rows:
            row.cached += 1
        return self._drawn(logits, self.rows)

    @torch.inference_mode()
    def drop(self, leaving: Sequence[Row]) -> None:
        """Remove rows; what they held in the cache is free for others."""
        for row in leaving:
            place = self.rows.index(row)
            self.rows[place] = self.rows[-1]
            self.rows.pop()
            self._cache.drop(place)
        if self.rows:
            self._cache.narrow(max(row.cached for row in self.rows))
        else:
            self._cache = RowsCache()

    def _read(self, ids: Tensor, lengths: Sequence[int], cache: RowsCache) -> Tensor:
        """Read `ids` (rows, new columns) into `cache`; the logits (rows, vocab) after the last column.

        `lengths` says how many tokens each row has by then.
        """
        new = ids.shape[1]
        columns = torch.arange((cache.width if cache.layers else 0) + new, device=self._device)
        padding = len(columns) - torch.tensor(lengths, device=self._device).unsqueeze(1)  # (rows, 1)
        hidden = columns < padding if min(lengths) < len(columns) else None  # (rows, all columns)
        positions = (columns[-new:] - padding).clamp(min=0)  # (rows, new columns)
        ids = ids.to(self._device)
        if self._is_written_out:
            self._written_out = self._written_out or llama_forward.Forward(self._model)
            return self._written_out(ids, positions, hidden, cache)
        return self._own_forward(ids, positions, hidden, cache)

    def _own_forward(self, ids: Tensor, positions: Tensor, hidden: Tensor | None, cache: RowsCache) -> Tensor:
        """The model's forward pass; the logits (rows, vocab) after the last column."""
        inputs: dict[str, Tensor] = {}
        if hidden is not None:
            inputs["attention_mask"] = (~hidden).long()
        if self._takes_positions:
            inputs["position_ids"] = positions
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **inputs, **self._options)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _drawn(self, logits: Tensor, rows: Sequence[Row]) -> list[int]:
        """Draw each row's next token from its logits (rows, vocab)."""
        tokens = draw(logits, [row.sampler for row in rows], self._watermark)
        for row, token in zip(rows, tokens, strict=True):
            row.newest = token
        return tokens
