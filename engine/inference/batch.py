"""One batch: rows of one version that are prefilled, stepped together, and leave when they like.

Rows are padded on the left, so positions are counted from each row's own first token; those of architectures that
cannot be batched exactly (`tokens_together`) are read one by one instead, as transformers' `generate` reads them. One
uniform number a step and row decides what is drawn, from the row's own generator, so a seed gives the same text alone
and in any batch. Filters come in the order of transformers: penalties, temperature, top-k, top-p, min-p.
"""

import inspect
import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from engine.api.types import Sampling
from engine.inference.kv_cache import RowsCache
from engine.inference.penalties import History, penalise
from engine.inference.watermark import CONTEXT_TOKENS, Watermark
from engine.models.architectures import reset_positions, tokens_together
from engine.models.family import ORDINARY, ModelFamily
from engine.models.layers import LlamaForward, has_llama_forward

logger = logging.getLogger(__name__)

NOT_FINITE = -1
"""Drawn in place of a token where the row's logits hold NaN or infinity."""

_BLOCK = 64
"""Columns that are summed up together before the choice among them."""
_BELOW_ONE = 1.0 - 2.0**-40
"""Keeps a scaled uniform number below the total mass in spite of rounding."""


class Row:
    """One sequence being written: its tokens' place in the cache, and what it brings to a draw."""

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        breakers: Collection[int] = (),
        noise_seed: int | None = None,
    ) -> None:
        """`breakers` are the tokens over which DRY sees no repetition (`engine.inference.penalties.dry_breakers`).

        `noise_seed` decides the noise of a model that writes from some, if `sampling` has no seed.
        """
        self.prompt = prompt
        self.sampling = sampling
        self.cached = 0
        """How many of its tokens are in the cache."""
        self.newest = 0
        """The newest token, which the next step reads."""
        seeds = (sampling.seed, noise_seed, random.getrandbits(31))
        self.noise_seed = next(seed for seed in seeds if seed is not None)
        self._random = random.Random(sampling.seed)
        self.history = History(prompt, sampling, breakers)
        self.context: deque[int] = deque(maxlen=CONTEXT_TOKENS)
        """The newest tokens that were drawn, from which a watermark draws. None of the prompt's: all prompts end in the
        same words of the template, so every text would begin with what the key prefers."""
        self.likely: list[tuple[int, float]] = []
        """The newest token and the likeliest in its place, each with its log-probability, where these are asked for."""
        self.marked: set[tuple[int, ...]] = set()
        """The contexts in which it has drawn."""

    def uniform(self) -> float:
        """The row's next random number, in [0, 1)."""
        return self._random.random() * _BELOW_ONE

    def see(self, token: int) -> None:
        """Remember a drawn token."""
        self.newest = token
        self.context.append(token)
        self.history.add(token)

    def go_on_after(self, tokens: Sequence[int]) -> None:
        """Be as one that has drawn these tokens, which are a part of the prompt now."""
        for token in tokens:
            self.uniform()
            if len(self.context) == CONTEXT_TOKENS:
                self.marked.add(tuple(self.context))
            self.context.append(token)
            self.history.count(token)


AnyRow = TypeVar("AnyRow", bound=Row)


class Batch(Generic[AnyRow]):
    """Rows that share a forward pass, always with the same adapter active."""

    def __init__(
        self,
        model: PreTrainedModel,
        watermark: Watermark | None = None,
        *,
        family: ModelFamily = ORDINARY,
        in_bfloat16: bool = False,
    ) -> None:
        """`in_bfloat16` is as for `LlamaForward`; models of other shapes do without."""
        self._model = model
        self._family = family
        self._watermark = watermark
        self._device = model.device
        self._cache = RowsCache()
        parameters = inspect.signature(model.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._takes_positions = "position_ids" in parameters
        self._is_llama = has_llama_forward(model)
        self._in_bfloat16 = in_bfloat16
        self._llama_forward: LlamaForward | None = None  # with the first step, when the adapter is active
        self._tokens_together = tokens_together(model)
        self._together: list[AnyRow] = []
        """In the order of the cache's rows, which changes when rows leave."""
        self._alone: dict[AnyRow, _Reader] = {}

    @property
    def rows(self) -> list[AnyRow]:
        """All rows, in the order of the tokens that `step` returns."""
        return [*self._together, *self._alone]

    @torch.inference_mode()
    def join(self, newcomers: Sequence[AnyRow]) -> list[int]:
        """Read the newcomers' prompts, add them to `rows`, and return the first token of each.

        Rows of the same prompt share one reading of it. Of a model that writes from noise, each gets its own first.
        If it raises and the newcomers are not among `rows`, the others are as they were.
        """
        for row in newcomers:
            row.prompt = self._family.draw_noise(self._model, row.prompt, row.noise_seed)
        alone = {row: _Reader(self._model) for row in newcomers if self._is_alone(row)}
        together = [row for row in newcomers if row not in alone]
        logits, cache = self._read_prompts(together)
        logits += [reader.read(row.prompt) for row, reader in alone.items()]
        places = {row: place for place, row in enumerate([*together, *alone])}
        tokens = draw(torch.cat(logits)[[places[row] for row in newcomers]], newcomers, self._watermark)
        for row in newcomers:
            row.cached = len(row.prompt)
        is_first = not self._together
        self._together += together
        self._alone |= alone
        if is_first:
            self._cache = cache
        elif together:
            self._cache.join(cache)
        return tokens

    def _is_alone(self, row: Row) -> bool:
        return len(row.prompt) + row.sampling.max_tokens > self._tokens_together

    def _read_prompts(self, rows: Sequence[Row]) -> tuple[list[Tensor], RowsCache]:
        """The logits (rows, vocab) after the rows' prompts, none without rows, and the cache of what was read."""
        cache = RowsCache()
        if not rows:
            return [], cache
        places: dict[tuple[int, ...], int] = {}
        owners = [places.setdefault(tuple(row.prompt), len(places)) for row in rows]
        width = max(map(len, places))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in places])
        logits = self._read(ids, list(map(len, places)), cache)
        if len(places) < len(owners):
            logits = logits[owners]
            cache.spread(owners)
        return [logits], cache

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Read every row's newest token and return every row's next, in the order of `rows`."""
        rows, logits = self.rows, []
        if self._together:
            ids = torch.tensor([[row.newest] for row in self._together])
            logits.append(self._read(ids, [row.cached + 1 for row in self._together], self._cache))
        logits += [reader.read([row.newest]) for row, reader in self._alone.items()]
        for row in rows:
            row.cached += 1
        return draw(torch.cat(logits) if len(logits) > 1 else logits[0], rows, self._watermark)

    @torch.inference_mode()
    def drop(self, leaving: Sequence[AnyRow]) -> None:
        """Remove rows; what they held in the cache is free for others."""
        for row in leaving:
            if self._alone.pop(row, None) is not None:
                continue
            place = self._together.index(row)
            self._together[place] = self._together[-1]
            self._together.pop()
            self._cache.drop(place)
        if not self._together:
            self._cache = RowsCache()
        elif leaving:
            self._cache.narrow(max(row.cached for row in self._together))

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
            self._llama_forward = self._llama_forward or LlamaForward(self._model, in_bfloat16=self._in_bfloat16)
            return self._llama_forward(ids, positions, hidden, cache)
        inputs: dict[str, Tensor] = {}
        if hidden is not None:
            inputs["attention_mask"] = (~hidden).long()
        if self._takes_positions:
            inputs["position_ids"] = positions
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **inputs, **self._options)
        logits: Tensor = output.logits[:, -1]
        return logits


def can_write(model: PreTrainedModel, prompt: Sequence[int], *, tokens: int, family: ModelFamily = ORDINARY) -> bool:
    """Whether a model, as it is now, writes so many tokens after a prompt without failing, and with numbers."""
    batch: Batch[Row] = Batch(model, family=family)
    row = Row(prompt, Sampling(temperature=0.0, max_tokens=tokens))
    try:
        batch.join([row])
        while row.newest != NOT_FINITE and row.cached < len(prompt) + tokens:
            batch.step()
    except Exception:
        logger.exception("The model cannot write.")
        return False
    return row.newest != NOT_FINITE


class _Reader:
    """One row by itself, read by what `generate` calls for each of its steps.

    Positions that grow with the sequence (dynamic NTK) are set back before each step, for another row has grown them.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a PreTrainedModel with all that generation adds
        self._model = model
        self._ids = torch.zeros(1, 0, dtype=torch.long, device=model.device)
        self._state: dict[str, Any] = {"use_cache": True, "attention_mask": None}
        if model._supports_logits_to_keep():
            self._state["logits_to_keep"] = 1
        if model._supports_default_dynamic_cache():
            name = (
                "cache_params" if "cache_params" in inspect.signature(model.forward).parameters else "past_key_values"
            )
            self._state[name] = DynamicCache(config=model.config.get_text_config(decoder=True))

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Read more tokens; the logits (1, vocab) after the last."""
        is_first = not self._ids.shape[1]
        new = torch.tensor([list(tokens)], device=self._ids.device)
        self._ids = torch.cat((self._ids, new), dim=-1)
        if is_first and "position_ids" in inspect.signature(self._model.forward).parameters:
            self._state["position_ids"] = self._model._prepare_position_ids_for_generation(self._ids, self._state)
        reset_positions(self._model)
        inputs = self._model.prepare_inputs_for_generation(
            self._ids, next_sequence_length=None if is_first else 1, is_first_iteration=is_first, **self._state
        )
        output = self._model(**inputs, return_dict=True)
        self._state = self._model._update_model_kwargs_for_generation(output, self._state)
        logits: Tensor = output.logits[:, -1]
        return logits


_Method = Callable[[Tensor, Sequence[Row], Watermark | None], Tensor]


def draw(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None = None) -> list[int]:
    """Draw one token per row of `logits` (rows, vocab); `NOT_FINITE` where a row's logits are no numbers.

    A watermark changes what is drawn from a row's filtered probabilities; greedy rows have no choice to be marked.
    """
    told = logits = logits.float()
    logits = penalise(logits, [row.history for row in rows])
    tokens = [NOT_FINITE] * len(rows)
    for method, places in _by_method(rows).items():
        chosen = [rows[place] for place in places]
        part = logits if len(places) == len(rows) else logits[places]
        for place, token in zip(places, method(part, chosen, watermark).tolist(), strict=True):
            tokens[place] = token
            rows[place].see(token)
    for place, row in enumerate(rows):
        if row.sampling.top_logprobs is not None and tokens[place] != NOT_FINITE:
            row.likely = _likely(told[place], tokens[place], row.sampling.top_logprobs)
    return tokens


def _likely(logits: Tensor, token: int, count: int) -> list[tuple[int, float]]:
    """A token and then the `count` likeliest of `logits` (vocab,), each with its log-probability."""
    logprobs = logits.log_softmax(dim=-1)
    top = logprobs.topk(min(count, len(logprobs)))
    likeliest = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [(token, float(logprobs[token])), *likeliest]


def _by_method(rows: Sequence[Row]) -> dict[_Method, list[int]]:
    """The places of the rows that are drawn together."""
    methods: dict[_Method, list[int]] = {}
    for place, row in enumerate(rows):
        is_filtered = row.sampling.top_k > 0 or row.sampling.top_p < 1.0 or row.sampling.min_p > 0.0
        method = _greedy if row.sampling.is_greedy else _from_few if is_filtered else _from_all
        methods.setdefault(method, []).append(place)
    return methods


def _greedy(logits: Tensor, _: Sequence[Row], __: Watermark | None) -> Tensor:
    """The likeliest token of each row: (rows, vocab) -> (rows,)."""
    best = logits.max(dim=-1)
    return best.indices.where(best.values.isfinite(), NOT_FINITE)


def _from_all(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None) -> Tensor:
    """Draw from the whole vocabulary: (rows, vocab) -> (rows,)."""
    probs = (logits / _column(logits, rows, "temperature")).softmax(dim=-1)
    if watermark is not None:
        probs = _marked(probs, torch.arange(probs.shape[-1], device=probs.device).expand_as(probs), rows, watermark)
    return _pick(probs, rows)


def _from_few(logits: Tensor, rows: Sequence[Row], watermark: Watermark | None) -> Tensor:
    """Draw from what top-k, top-p and min-p leave of the vocabulary: (rows, vocab) -> (rows,).

    Each filter tells, without an order, a score below which it keeps nothing. What is above is brought in order, a few
    of tens of thousands. For top-p: tokens with less than (1 - p) / vocab each have less than 1 - p together, so
    the others hold the p.
    """
    vocab = logits.shape[-1]
    scores = logits / _column(logits, rows, "temperature")
    best = scores.amax(dim=-1, keepdim=True)  # (rows, 1), as all that follow
    top_p, top_k, min_p = (_column(logits, rows, field) for field in ("top_p", "top_k", "min_p"))
    is_cut = top_k > 0  # top-p speaks of the mass of the k kept tokens here, of the whole vocabulary elsewhere
    lowest, total = best + min_p.log(), None
    if any(row.sampling.top_p < 1.0 for row in rows):
        total = scores.logsumexp(dim=-1, keepdim=True)
        lowest = torch.maximum(lowest, (total + ((1.0 - top_p) / vocab).log()).masked_fill(is_cut, -torch.inf))
    if widest := max(row.sampling.top_k for row in rows):
        likeliest = scores.topk(min(widest, vocab), dim=-1).values
        last = likeliest.gather(-1, top_k.long().clamp(1, likeliest.shape[-1]) - 1)
        lowest = torch.maximum(lowest, last.where(is_cut, -torch.inf))
    few, tokens = _packed(scores, scores >= lowest)
    if total is None and not widest:
        kept = (few - best).exp()
    else:
        ordered = few.sort(dim=-1, descending=True, stable=True)
        is_beyond = is_cut & (torch.arange(few.shape[-1], device=few.device) >= top_k)
        ranked = ordered.values.masked_fill(is_beyond, -torch.inf)
        own = ranked.logsumexp(dim=-1, keepdim=True)
        probs = (ranked - (own if total is None else own.where(is_cut, total))).exp()
        is_kept = probs.cumsum(dim=-1) - probs < top_p
        # Back in the order of the vocabulary, where a last digit that comes out otherwise swaps no two tokens.
        kept = torch.zeros_like(few).scatter(-1, ordered.indices, probs.where(is_kept, 0.0))
    if watermark is not None:
        kept = _marked(kept, tokens, rows, watermark)
    places = _pick(kept, rows)
    drawn = tokens.gather(-1, places.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return drawn.where(places != NOT_FINITE, NOT_FINITE)


def _packed(scores: Tensor, is_kept: Tensor) -> tuple[Tensor, Tensor]:
    """The kept scores of each row, as wide as the most of any row, the rest minus infinity; and their columns.

    Both arguments are (rows, vocab), both results (rows, width).
    """
    owners, columns = is_kept.nonzero(as_tuple=True)
    counts = owners.bincount(minlength=len(scores))
    places = torch.arange(len(owners), device=scores.device) - (counts.cumsum(0) - counts)[owners]
    width = max(1, int(counts.max()))
    few = scores.new_full((len(scores), width), -torch.inf)
    tokens = columns.new_zeros(len(scores), width)
    few[owners, places] = scores[owners, columns]
    tokens[owners, places] = columns
    return few, tokens


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
