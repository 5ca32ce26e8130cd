"""What the preference head sees of a text: how the frozen base reads it, which tokens it has, and its surface.

Six blocks, side by side: the mean of the token embeddings (which words), the maximum over the text of the first layer's
states (whether something occurs at all), the mean of the middle layer's (what is meant), the log of the length, the
surface (Unicode categories and punctuation, log counts), and which tokens occur, hashed into `TOKEN_BUCKETS`
(Weinberger et al. 2009, arXiv 0902.2206). The surface halves the ratings that it takes to learn a taste for length,
questions, digits or emoji.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from engine.errors import ModelError
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import Encoded, shared_batches

TOKEN_BUCKETS = 2048

_CATEGORIES = "Lu Ll Lt Lm Lo Mn Nd No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cc".split()
_MARKS = ".,:;!?\n'\"-…，。、"
_SENTENCE_ENDS = ".!?。\n"
_SURFACE = len(_CATEGORIES) + len(_MARKS) + 4


def block_slices(width: int) -> tuple[slice, ...]:
    """Where each block lies among `width` columns; features of another make are one block."""
    if width <= 1 + _SURFACE + TOKEN_BUCKETS:
        return (slice(0, width),)
    hidden = (width - 1 - _SURFACE - TOKEN_BUCKETS) // 3
    ends = tuple(accumulate((hidden, hidden, hidden, 1, _SURFACE, TOKEN_BUCKETS)))
    return tuple(slice(start, end) for start, end in zip((0, *ends), ends, strict=False))


@torch.no_grad()
def text_features(base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """The features of each row's completion, (n, d), float32, on the CPU. The model's adapters, if any, must be off."""
    model = base.model
    config = model.config.get_text_config()
    middle = math.ceil(config.num_hidden_layers / 2)
    states = torch.zeros((len(rows), 3 * config.hidden_size))
    # What a text is like does not depend on the noise that it was written from.
    rows = [replace(row, prompt=tuple(base.family.clear_noise(model, row.prompt))) for row in rows]
    for group, batch in shared_batches(base, rows, max_tokens=max_tokens):
        layers = model.base_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True, use_cache=False
        ).hidden_states
        mask = batch.completion_mask[:, :, None]  # (B, T, 1)
        lengths = mask.sum(1).clamp(min=1)  # (B, 1)
        embedded, first, deep = (layers[layer].float() for layer in (0, 1, middle))
        means = [(layer * mask).sum(1) / lengths for layer in (embedded, deep)]
        highest = first.masked_fill(~mask, first.min()).amax(1)
        states[torch.tensor(group)] = torch.cat([means[0], highest, means[1]], dim=1).cpu()
    texts = base.tokenizer.batch_decode([list(row.completion) for row in rows], skip_special_tokens=True)
    lengths = torch.tensor([[math.log(max(1, len(row.completion)))] for row in rows])
    return torch.cat(
        [distributed.total(states), lengths, torch.tensor([_surface(text) for text in texts]), _tokens(rows)], 1
    )


def require_finite(features: Tensor) -> Tensor:
    """The same features; of a broken model they would teach nothing, and the ratings would be blamed.

    Raises:
        ModelError: they are not all finite.
    """
    if not features.isfinite().all():
        raise ModelError("The base model computes values that are not numbers; choose another.")
    return features


def _tokens(rows: Sequence[Encoded]) -> Tensor:
    """Which buckets of tokens occur in each completion, (n, TOKEN_BUCKETS), 0 or 1.

    Tokenizers number their tokens by frequency, more or less, so that a frequent one shares a bucket with rare ones.
    """
    occurs = torch.zeros((len(rows), TOKEN_BUCKETS))
    for i, row in enumerate(rows):
        occurs[i, torch.tensor(row.completion, dtype=torch.long) % TOKEN_BUCKETS] = 1.0
    return occurs


def _surface(text: str) -> list[float]:
    """Log counts of characters by category, of marks, words and sentences, and the mean length of a word."""
    plain = unicodedata.normalize("NFKC", text)
    categories = Counter(map(unicodedata.category, plain))
    words = plain.split()
    counts = [
        *(categories[category] for category in _CATEGORIES),
        *(plain.count(mark) for mark in _MARKS),
        len(plain),
        len(words),
        sum(plain.count(mark) for mark in _SENTENCE_ENDS),
    ]
    return [*map(math.log1p, counts), sum(map(len, words)) / max(1, len(words))]
