"""One batch: rows of one version that are prefilled, stepped together, and leave when they like.

Rows are padded on the left, so positions are counted from each row's own first token. One uniform number a step and row
decides what is drawn, from the row's own generator, so a seed gives the same text alone and in any batch. Filters come
in the order of transformers: repetition penalty, temperature, top-k, top-p, min-p.
"""

import inspect
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from engine.api.types import Sampling
from engine.inference.kv_cache import RowsCache
from engine.inference.watermark import CONTEXT_TOKENS, Watermark
from engine.models.family import ORDINARY, ModelFamily
from engine.models.layers import LlamaForward, has_llama_forward

NOT_FINITE = -1
"""Drawn in place of a token where the row's logits hold NaN or infinity."""

_TOP_WIDTH = 256
"""How many likeliest tokens top-p looks at first; the whole vocabulary only where they do not hold enough mass."""
_BLOCK = 64
"""Columns that are summed up together before the choice among them."""
_BELOW_ONE = 1.0 - 2.0**-40
"""Keeps a scaled uniform number below the total mass in spite of rounding."""


class Row:
    """One sequence being written: its tokens' place in the cache, and what it brings to a draw."""

    def __init__(self, prompt: Sequence[int], sampling: Sampling, *, noise_seed: int | None = None) -> None:
        """`noise_seed` decides the noise of a model that writes from some, if `sampling` has no seed."""
        self.prompt = prompt
        self.sampling = sampling
        self.cached = 0
        """How many of its tokens are in the cache."""
        self.newest = 0
        """The newest token, which the next step reads."""
        seeds = (sampling.seed, noise_seed, random.getrandbits(31))
        self.noise_seed = next(seed for seed in seeds if seed is not None)
        self._random = random.Random(sampling.seed)
        self.seen = dict.fromkeys(prompt) if sampling.repetition_penalty != 1.0 else {}
        """The distinct tokens that a repetition penalty is for, in order of appearance."""
        self.context: deque[int] = deque(maxlen=CONTEXT_TOKENS)
        """The newest tokens that were drawn, from which a watermark draws. None of the prompt's: all prompts end in the
        same words of the template, so every text would begin with what the key prefers."""
        self.marked: set[tuple[int, ...]] = set()
        """The contexts in which it has drawn."""

    def uniform(self) -> float:
        """The row's next random number, in [0, 1)."""
        return self._random.random() * _BELOW_ONE

    def see(self, token: int) -> None:
        """Remember a drawn token."""
        self.newest = token
        self.context.append(token)
        if self.sampling.repetition_penalty != 1.0:
            self.seen.setdefault(token)

    def go_on_after(self, tokens: Sequence[int]) -> None:
        """Be as one that has drawn these tokens, which are a part of the prompt now."""
        for token in tokens:
            self.uniform()
            if len(self.context) == CONTEXT_TOKENS:
                self.marked.add(tuple(self.context))
            self.context.append(token)


AnyRow = TypeVar("AnyRow", bound=Row)


class Batch(Generic[AnyRow]):
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
        self._is_llama = has_llama_forward(model)
        self._llama_forward: LlamaForward | None = None  # with the first step, when the adapter is active
        self.rows: list[AnyRow] = []

    @torch.inference_mode()
    def join(self, newcomers: Sequence[AnyRow]) -> list[int]:
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
        return draw(logits, newcomers, self._watermark)

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Read every row's newest token and return every row's next, in the order of `rows`."""
        ids = torch.tensor([[row.newest] for row in self.rows])
        logits = self._read(ids, [row.cached + 1 for row in self.rows], self._cache)
        for row in self.rows:
            row.cached += 1
        return draw(logits, self.rows, self._watermark)

    @torch.inference_mode()
    def drop(self, leaving: Sequence[AnyRow]) -> None:
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
        if self._is_llama:
            self._llama_forward = self._llama_forward or LlamaForward(self._model)
            return self._llama_forward(ids, positions, hidden, cache)
        inputs: dict[str, Tensor] = {}
        if hidden is not None:
            inputs["attention_mask"] = (~hidden).long()
        if self._takes_positions:
            inputs["position_ids"] = positions
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **inputs, **self._options)
        logits: Tensor = output.logits[:, -1]
        return logits


_Method = Callable[[Tensor, Sequence[Row], Watermark | None], Tensor]


def draw(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None = None) -> list[int]:
    """Draw one token per row of `logits` (rows, vocab); `NOT_FINITE` where a row's logits are no numbers.

    A watermark changes what is drawn from a row's filtered probabilities; greedy rows have no choice to be marked.
    """
    logits = _penalise(logits.float(), rows)
    tokens = [NOT_FINITE] * len(rows)
    for method, places in _by_method(rows).items():
        chosen = [rows[place] for place in places]
        part = logits if len(places) == len(rows) else logits[places]
        for place, token in zip(places, method(part, chosen, watermark).tolist(), strict=True):
            tokens[place] = token
            rows[place].see(token)
    return tokens


def _penalise(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Make seen tokens less likely (CTRL, arXiv 1909.05858, section 4.1): (rows, vocab) -> (rows, vocab)."""
    widest = max(len(row.seen) for row in rows)
    if not widest:
        return logits
    # Short rows repeat their first seen token: a scatter of equal values to one place is harmless.
    seen = [list(row.seen) or [0] for row in rows]
    places = torch.tensor([each + each[:1] * (widest - len(each)) for each in seen], device=logits.device)
    penalty = _column(logits, rows, "repetition_penalty")
    scores = logits.gather(-1, places)
    return logits.scatter(-1, places, torch.where(scores < 0, scores * penalty, scores / penalty))


def _by_method(rows: Sequence[Row]) -> dict[_Method, list[int]]:
    """The places of the rows that are drawn together."""
    methods: dict[_Method, list[int]] = {}
    for place, row in enumerate(rows):
        needs_order = row.sampling.top_k > 0 or row.sampling.top_p < 1.0
        method = _greedy if row.sampling.is_greedy else _from_the_top if needs_order else _from_all
        methods.setdefault(method, []).append(place)
    return methods


def _greedy(logits: Tensor, _: Sequence[Row], __: Watermark | None) -> Tensor:
    """The likeliest token of each row: (rows, vocab) -> (rows,)."""
    best = logits.max(dim=-1)
    return best.indices.where(best.values.isfinite(), NOT_FINITE)


def _from_all(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None) -> Tensor:
    """Draw from the whole vocabulary, which needs no order: (rows, vocab) -> (rows,)."""
    probs = (logits / _column(logits, rows, "temperature")).softmax(dim=-1)
    if any(row.sampling.min_p for row in rows):
        min_p = _column(logits, rows, "min_p")
        probs = probs.where(probs >= min_p * probs.amax(dim=-1, keepdim=True), 0.0)
    if watermark is not None:
        probs = _marked(probs, torch.arange(probs.shape[-1], device=probs.device).expand_as(probs), rows, watermark)
    return _pick(probs, rows)


def _from_the_top(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None) -> Tensor:
    """Draw from each row's likeliest tokens: (rows, vocab) -> (rows,)."""
    vocab = logits.shape[-1]
    logits = logits / _column(logits, rows, "temperature")
    top_p, top_k = _column(logits, rows, "top_p"), _column(logits, rows, "top_k")  # (rows, 1)
    is_cut = top_k > 0  # top-p speaks of the mass of the k kept tokens here, of the whole vocabulary elsewhere
    whole = None if bool(is_cut.all()) else logits.logsumexp(dim=-1, keepdim=True)
    width = max(row.sampling.top_k or _TOP_WIDTH for row in rows)
    for columns in (min(width, vocab), vocab):
        top = logits.topk(columns, dim=-1)  # (rows, columns), likeliest first
        is_beyond = is_cut & (torch.arange(columns, device=logits.device) >= top_k)
        scores = top.values.masked_fill(is_beyond, -torch.inf)
        total = scores.logsumexp(dim=-1, keepdim=True)
        probs = (scores - (total if whole is None else total.where(is_cut, whole))).exp()
        mass = probs.cumsum(dim=-1)
        if columns == vocab or bool((is_cut | (mass[:, -1:] >= top_p)).all()):
            break
    is_kept = (mass - probs < top_p) & (probs >= _column(logits, rows, "min_p") * probs[:, :1])
    kept = probs.where(is_kept, 0.0)
    if watermark is not None:
        kept = _marked(kept, top.indices, rows, watermark)
    places = _pick(kept, rows)
    tokens = top.indices.gather(-1, places.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return tokens.where(places != NOT_FINITE, NOT_FINITE)


def _marked(probs: Tensor, tokens: Tensor, rows: Sequence[Row], watermark: Watermark) -> Tensor:
    return watermark.mark(probs, tokens, [row.context for row in rows], [row.marked for row in rows])


def _pick(weights: Tensor, rows: Sequence[Row]) -> Tensor:
    """Pick a column of each row in proportion to `weights` (rows, columns) by inverting the cumulative sum.

    The sum goes by blocks of columns, and by columns in the chosen block only: a sum over a whole vocabulary in
    float64 is slower than all the rest of a draw.
    """
    if short := -weights.shape[-1] % _BLOCK:
        weights = nn.functional.pad(weights, (0, short))
    blocks = weights.unflatten(-1, (-1, _BLOCK))  # (rows, blocks, columns of a block)
    sums = blocks.sum(dim=-1)
    mass = sums.cumsum(dim=-1, dtype=torch.float64)
    total = mass[:, -1:]
    uniform = torch.tensor([[row.uniform()] for row in rows], dtype=torch.float64, device=weights.device)
    point = uniform * total
    block = torch.searchsorted(mass, point, right=True).clamp(max=mass.shape[-1] - 1)  # (rows, 1)
    inside = blocks.take_along_dim(block.unsqueeze(-1), dim=1).squeeze(1).cumsum(dim=-1, dtype=torch.float64)
    point = point - mass.gather(-1, block) + sums.gather(-1, block)
    point = torch.minimum(point.clamp(min=0.0), inside[:, -1:] * _BELOW_ONE)
    picked = block * _BLOCK + torch.searchsorted(inside, point, right=True)
    return picked.where(total.isfinite() & (total > 0), NOT_FINITE).squeeze(-1)


def _column(logits: Tensor, rows: Sequence[Row], field: str) -> Tensor:
    """One setting of every row as a column (rows, 1)."""
    values = [[float(getattr(row.sampling, field))] for row in rows]
    return torch.tensor(values, device=logits.device)
