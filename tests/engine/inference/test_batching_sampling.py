"""Tokens are drawn as often as they should be."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from engine.api.types import Sampling
from engine.inference.batch import NOT_FINITE, Row, draw

DRAWS = 4000
PROMPT = (3, 7, 7)


def toy_logits(vocab: int = 24) -> torch.Tensor:
    return torch.randn(vocab, generator=torch.Generator().manual_seed(0)) * 2


def reference(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution by transformers' own processors, in the order in which `generate` applies them."""
    processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)])
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(MinPLogitsWarper(sampling.min_p))
    return processors(torch.tensor([PROMPT]), logits.unsqueeze(0).clone()).softmax(dim=-1)[0]


@pytest.mark.parametrize("vocab", [24, 700])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.5),
        Sampling(top_k=5),
        Sampling(top_p=0.7),
        Sampling(top_p=0.999, temperature=2.0),
        Sampling(min_p=0.2),
        Sampling(min_p=0.1, top_p=0.6),
        Sampling(repetition_penalty=1.8),
        Sampling(top_k=10, top_p=0.8, min_p=0.05, temperature=1.4, repetition_penalty=1.3),
    ],
)
def test_tokens_come_as_often_as_transformers_processors_say(sampling: Sampling, vocab: int) -> None:
    logits = toy_logits(vocab)
    rows = [Row(PROMPT, replace(sampling, seed=seed)) for seed in range(DRAWS)]
    counts = Counter(draw(logits.expand(DRAWS, -1), rows))
    probs = reference(logits, sampling)
    for token, prob in enumerate(probs.tolist()):
        # Hundreds of tokens must be right at once, so five standard errors; three more draws for the rare ones.
        assert abs(counts[token] - DRAWS * prob) <= 5 * math.sqrt(DRAWS * prob * (1 - prob)) + 3
        assert prob > 0 or counts[token] == 0


def test_rows_of_every_kind_in_one_draw_get_what_they_get_alone() -> None:
    settings = [
        Sampling(temperature=0.0),
        Sampling(seed=1),
        Sampling(seed=2, top_k=3),
        Sampling(seed=3, top_p=0.9),
        Sampling(seed=4, top_k=1),
        Sampling(seed=5, repetition_penalty=1.5),
        Sampling(seed=6, min_p=0.1, temperature=1.5),
    ]
    logits = torch.randn(len(settings), 700, generator=torch.Generator().manual_seed(1)) * 3
    together = [Row(PROMPT, sampling) for sampling in settings]
    alone = [Row(PROMPT, sampling) for sampling in settings]
    for _ in range(20):
        expected = [draw(each.unsqueeze(0), [row])[0] for each, row in zip(logits, alone, strict=True)]
        assert draw(logits, together) == expected


def test_a_repetition_penalty_counts_what_was_written_too() -> None:
    row = Row([0], Sampling(temperature=0.0, repetition_penalty=2.0))
    logits = torch.tensor([[9.0, 4.0, 3.0, -1.0]])
    assert [draw(logits, [row])[0] for _ in range(3)] == [0, 0, 0]  # 9 / 2 is still the largest
    row = Row([3], Sampling(temperature=0.0, repetition_penalty=2.0))
    logits = torch.tensor([[4.0, 3.9, 3.0, -1.0]])
    assert [draw(logits, [row])[0] for _ in range(4)] == [0, 1, 2, 0]


def test_the_callers_logits_are_left_alone() -> None:
    logits = toy_logits().unsqueeze(0)
    before = logits.clone()
    draw(logits, [Row(PROMPT, Sampling(seed=0, repetition_penalty=1.5, top_k=5))])
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=0.0), Sampling(), Sampling(top_k=3), Sampling(top_p=0.5), Sampling(min_p=0.1)]
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_told_and_spoil_no_other_row(sampling: Sampling, value: float) -> None:
    logits = toy_logits().repeat(2, 1)
    logits[0, 5] = value
    sick, sound = draw(logits, [Row(PROMPT, replace(sampling, seed=seed)) for seed in (1, 2)])
    assert sick == NOT_FINITE
    assert 0 <= sound < logits.shape[-1]
