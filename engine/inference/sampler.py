"""Drawing the next token of every row of a batch, each row by its own `Sampling`.

Knows logits and random numbers. Knows nothing of models, caches or text. One uniform number a step and row decides,
from the row's own generator, so a seed gives the same text alone and in any batch. Filters come in the order of
transformers: repetition penalty, temperature, top-k, top-p, min-p.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from engine.api.types import Sampling
from engine.inference.watermark import CONTEXT_TOKENS, Watermark

NOT_FINITE = -1
"""Drawn in place of a token where the row's logits hold NaN or infinity."""

_TOP_WIDTH = 256
"""How many likeliest tokens top-p looks at first; the whole vocabulary only where they do not hold enough mass."""
_BLOCK = 64
"""Columns that are summed up together before the choice among them."""
_BELOW_ONE = 1.0 - 2.0**-40
"""Keeps a scaled uniform number below the total mass in spite of rounding."""


class RowSampler:
    """What one row brings to a draw: its settings, its random numbers, and the tokens it has seen."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self.sampling = sampling
        self._random = random.Random(sampling.seed)
        self.seen = dict.fromkeys(prompt) if sampling.repetition_penalty != 1.0 else {}
        """The distinct tokens that a repetition penalty is for, in order of appearance."""
        self.context: deque[int] = deque(maxlen=CONTEXT_TOKENS)
        """The newest tokens that were drawn, from which a watermark draws. None of the prompt's: all prompts end in the
        same words of the template, so every text would begin with what the key prefers."""
        self.marked: set[tuple[int, ...]] = set()
        """The contexts in which it has drawn."""

    @property
    def needs_order(self) -> bool:
        """Whether the filters need the likeliest tokens in order."""
        return self.sampling.top_k > 0 or self.sampling.top_p < 1.0

    def uniform(self) -> float:
        """The row's next random number, in [0, 1)."""
        return self._random.random() * _BELOW_ONE

    def go_on_after(self, tokens: Sequence[int]) -> None:
        """Be as one that has drawn these tokens, which are a part of the prompt now."""
        for token in tokens:
            self.uniform()
            if len(self.context) == CONTEXT_TOKENS:
                self.marked.add(tuple(self.context))
            self.context.append(token)

    def see(self, token: int) -> None:
        """Remember a token for the repetition penalty and the watermark."""
        self.context.append(token)
        if self.sampling.repetition_penalty != 1.0:
            self.seen.setdefault(token)


_Method = Callable[[Tensor, Sequence[RowSampler], Watermark | None], Tensor]


def draw(logits: Tensor, samplers: Sequence[RowSampler], watermark: Watermark | None = None) -> list[int]:
    """Draw one token per row of `logits` (rows, vocab); `NOT_FINITE` where a row's logits are no numbers.

    A watermark changes what is drawn from a row's filtered probabilities; greedy rows have no choice to be marked.
    """
    logits = _penalise(logits.float(), samplers)
    tokens = [NOT_FINITE] * len(samplers)
    for choose, rows in _by_method(samplers).items():
        chosen = [samplers[row] for row in rows]
        part = logits if len(rows) == len(samplers) else logits[rows]
        for row, token in zip(rows, choose(part, chosen, watermark).tolist(), strict=True):
            tokens[row] = token
            samplers[row].see(token)
    return tokens


def _penalise(logits: Tensor, samplers: Sequence[RowSampler]) -> Tensor:
    """Make seen tokens less likely (CTRL, arXiv 1909.05858, section 4.1): (rows, vocab) -> (rows, vocab)."""
    widest = max(len(sampler.seen) for sampler in samplers)
    if not widest:
        return logits
    # Short rows repeat their first seen token: a scatter of equal values to one place is harmless.
    seen = [list(sampler.seen) or [0] for sampler in samplers]
    places = torch.tensor([row + row[:1] * (widest - len(row)) for row in seen], device=logits.device)
    penalty = _column(logits, samplers, "repetition_penalty")
    scores = logits.gather(-1, places)
    return logits.scatter(-1, places, torch.where(scores < 0, scores * penalty, scores / penalty))


def _by_method(samplers: Sequence[RowSampler]) -> dict[_Method, list[int]]:
    """The rows that go together."""
    methods: dict[_Method, list[int]] = {}
    for row, sampler in enumerate(samplers):
        method = _greedy if sampler.sampling.is_greedy else _from_the_top if sampler.needs_order else _from_all
        methods.setdefault(method, []).append(row)
    return methods


def _greedy(logits: Tensor, _: Sequence[RowSampler], __: Watermark | None) -> Tensor:
    """The likeliest token of each row: (rows, vocab) -> (rows,)."""
    best = logits.max(dim=-1)
    return best.indices.where(best.values.isfinite(), NOT_FINITE)


def _from_all(logits: Tensor, samplers: Sequence[RowSampler], watermark: Watermark | None) -> Tensor:
    """Draw from the whole vocabulary, which needs no order: (rows, vocab) -> (rows,)."""
    probs = (logits / _column(logits, samplers, "temperature")).softmax(dim=-1)
    if any(sampler.sampling.min_p for sampler in samplers):
        min_p = _column(logits, samplers, "min_p")
        probs = probs.where(probs >= min_p * probs.amax(dim=-1, keepdim=True), 0.0)
    if watermark is not None:
        everything = torch.arange(probs.shape[-1], device=probs.device).expand_as(probs)
        probs = _marked(probs, everything, samplers, watermark)
    return _pick(probs, samplers)


def _from_the_top(logits: Tensor, samplers: Sequence[RowSampler], watermark: Watermark | None) -> Tensor:
    """Draw from each row's likeliest tokens: (rows, vocab) -> (rows,)."""
    vocab = logits.shape[-1]
    logits = logits / _column(logits, samplers, "temperature")
    top_p, top_k = _column(logits, samplers, "top_p"), _column(logits, samplers, "top_k")  # (rows, 1)
    is_cut = top_k > 0  # top-p speaks of the mass of the k kept tokens here, of the whole vocabulary elsewhere
    whole = None if bool(is_cut.all()) else logits.logsumexp(dim=-1, keepdim=True)
    width = max(sampler.sampling.top_k or _TOP_WIDTH for sampler in samplers)
    for columns in (min(width, vocab), vocab):
        top = logits.topk(columns, dim=-1)  # (rows, columns), likeliest first
        is_beyond = is_cut & (torch.arange(columns, device=logits.device) >= top_k)
        scores = top.values.masked_fill(is_beyond, -torch.inf)
        total = scores.logsumexp(dim=-1, keepdim=True)
        probs = (scores - (total if whole is None else total.where(is_cut, whole))).exp()
        mass = probs.cumsum(dim=-1)
        if columns == vocab or bool((is_cut | (mass[:, -1:] >= top_p)).all()):
            break
    is_kept = (mass - probs < top_p) & (probs >= _column(logits, samplers, "min_p") * probs[:, :1])
    kept = probs.where(is_kept, 0.0)
    if watermark is not None:
        kept = _marked(kept, top.indices, samplers, watermark)
    places = _pick(kept, samplers)
    tokens = top.indices.gather(-1, places.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return tokens.where(places != NOT_FINITE, NOT_FINITE)


def _marked(probs: Tensor, tokens: Tensor, samplers: Sequence[RowSampler], watermark: Watermark) -> Tensor:
    return watermark.mark(
        probs, tokens, [sampler.context for sampler in samplers], [sampler.marked for sampler in samplers]
    )


def _pick(weights: Tensor, samplers: Sequence[RowSampler]) -> Tensor:
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
    uniform = torch.tensor([[sampler.uniform()] for sampler in samplers], dtype=torch.float64, device=weights.device)
    point = uniform * total
    block = torch.searchsorted(mass, point, right=True).clamp(max=mass.shape[-1] - 1)  # (rows, 1)
    inside = blocks.take_along_dim(block.unsqueeze(-1), dim=1).squeeze(1).cumsum(dim=-1, dtype=torch.float64)
    point = point - mass.gather(-1, block) + sums.gather(-1, block)
    point = torch.minimum(point.clamp(min=0.0), inside[:, -1:] * _BELOW_ONE)
    picked = block * _BLOCK + torch.searchsorted(inside, point, right=True)
    return picked.where(total.isfinite() & (total > 0), NOT_FINITE).squeeze(-1)


def _column(logits: Tensor, samplers: Sequence[RowSampler], field: str) -> Tensor:
    """One setting of every row as a column (rows, 1)."""
    values = [[float(getattr(sampler.sampling, field))] for sampler in samplers]
    return torch.tensor(values, device=logits.device)
