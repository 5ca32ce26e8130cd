"""Penalties on what a text has already: on tokens that came before, and on going on as after the same words before.

A row remembers what it needs for them token by token, so that a step costs what is new and not what is long.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.api.types import Sampling

_LONGEST_RUN = 50
"""Longer runs are punished no harder; the reference implementation of DRY stops there too."""


class History:
    """What the penalties of one row need to know of its tokens.

    The repetition penalty is for tokens of the prompt as well, as in transformers and vLLM; presence and frequency
    penalties are for drawn ones only, as in OpenAI's API; DRY looks at both, as its author's implementation does.
    """

    def __init__(self, prompt: Sequence[int], sampling: Sampling, breakers: Collection[int] = ()) -> None:
        """`breakers` are the tokens that `dry_breakers` finds."""
        self.sampling = sampling
        self._is_counting = bool(
            sampling.repetition_penalty != 1.0 or sampling.presence_penalty or sampling.frequency_penalty
        )
        self._places: dict[int, int] = {}
        self.tokens = array("q")
        """The distinct tokens that have a penalty, in order of appearance."""
        self.counts = array("f")
        """How often each was drawn."""
        self.runs = _Runs(breakers) if sampling.dry_multiplier else None
        for token in prompt:
            if sampling.repetition_penalty != 1.0:
                self._place(token)
            if self.runs is not None:
                self.runs.add(token)

    def add(self, token: int) -> None:
        """A token was drawn."""
        self.count(token)
        if self.runs is not None:
            self.runs.add(token)

    def count(self, token: int) -> None:
        """A token was drawn that is a part of the prompt by now."""
        if self._is_counting:
            self.counts[self._place(token)] += 1

    def _place(self, token: int) -> int:
        place = self._places.setdefault(token, len(self.tokens))
        if place == len(self.tokens):
            self.tokens.append(token)
            self.counts.append(0)
        return place


class _Runs:
    """Where in a row the words stand with which it ends, and what came after them.

    For every earlier place with the row's last token it knows how many tokens before the one and the other are the
    same. With the next token these grow by one each or end, so nothing is ever compared twice.
    """

    def __init__(self, breakers: Collection[int]) -> None:
        self._breakers = breakers
        self._tokens: list[int] = []
        self._where: defaultdict[int, list[int]] = defaultdict(list)
        self._lengths: dict[int, int] = {}
        """By the earlier place at which it ends: how many tokens up to there are those at the end of the row."""

    def add(self, token: int) -> None:
        """The row's next token."""
        before = self._lengths
        self._lengths = {}
        if token not in self._breakers:
            self._lengths = {place: before.get(place - 1, 0) + 1 for place in self._where[token]}
            self._where[token].append(len(self._tokens))
        self._tokens.append(token)

    def penalties(self, sampling: Sampling) -> dict[int, float]:
        """What is taken from the logits of tokens that would go on as before."""
        longest: dict[int, int] = {}
        for place, length in self._lengths.items():
            following = self._tokens[place + 1]
            if length >= sampling.dry_allowed_length and following not in self._breakers:
                longest[following] = max(length, longest.get(following, 0))
        return {
            token: sampling.dry_multiplier
            * sampling.dry_base ** (min(length, _LONGEST_RUN) - sampling.dry_allowed_length)
            for token, length in longest.items()
        }


def dry_breakers(tokenizer: Tokenizer, sampling: Sampling) -> frozenset[int]:
    """The tokens over which no run goes and which are never punished: those with a breaker in them, and control tokens.

    A breaker that is in no single token stands for the last of its own tokens. None where DRY is off.
    """
    return _breakers(tokenizer, sampling.dry_sequence_breakers) if sampling.dry_multiplier else frozenset()


@lru_cache(maxsize=16)
def _breakers(tokenizer: Tokenizer, breakers: tuple[str, ...]) -> frozenset[int]:
    size = tokenizer.get_vocab_size()
    texts = tokenizer.decode_batch([[token] for token in range(size)], skip_special_tokens=False)
    found = {token for token, text in enumerate(texts) if any(breaker in text for breaker in breakers)}
    for breaker in breakers:
        if not any(breaker in texts[token] for token in found):
            found.update(tokenizer.encode(breaker, add_special_tokens=False).ids[-1:])
    return frozenset(found | {token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special})


def penalise(logits: Tensor, histories: Sequence[History]) -> Tensor:
    """The logits (rows, vocab) after every row's penalties; itself where there are none, and else a copy.

    First the repetition penalty (CTRL, arXiv 1909.05858, section 4.1), then OpenAI's: "mu[j] - c[j] * alpha_frequency -
    float(c[j] > 0) * alpha_presence"; then DRY ("Don't Repeat Yourself", text-generation-webui, pull request 5677):
    multiplier * base ** (length of the run - allowed length).
    """
    lengths = [len(history.tokens) for history in histories]
    runs = [(row, history.runs, history.sampling) for row, history in enumerate(histories) if history.runs is not None]
    if not any(lengths) and not runs:
        return logits
    logits = logits.clone()
    device = logits.device
    if any(lengths):
        tokens = torch.from_numpy(np.concatenate([history.tokens for history in histories])).to(device)
        counts = torch.from_numpy(np.concatenate([history.counts for history in histories])).to(device)
        settings = [
            (s.repetition_penalty, s.frequency_penalty, s.presence_penalty) for s in (h.sampling for h in histories)
        ]
        owners = torch.arange(len(histories)).repeat_interleave(torch.tensor(lengths)).to(device)
        repetition, frequency, presence = torch.tensor(settings, device=device)[owners].unbind(-1)
        scores = logits[owners, tokens]
        scores = torch.where(scores < 0, scores * repetition, scores / repetition)
        logits[owners, tokens] = scores - frequency * counts - presence * (counts > 0)
    again = [(row, *each) for row, run, sampling in runs for each in run.penalties(sampling).items()]
    if again:
        rows, followers, amounts = zip(*again, strict=True)
        places = torch.tensor(rows, device=device), torch.tensor(followers, device=device)
        logits[places] -= torch.tensor(amounts, dtype=logits.dtype, device=device)
    return logits
