"""What a text has already becomes less likely, by as much as the settings say and nothing else."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.api.types import Sampling
from engine.inference.batch import Row, draw
from engine.inference.penalties import History, dry_breakers, penalise

VOCAB = 6


def after(prompt: Sequence[int], drawn: Sequence[int], sampling: Sampling, breakers: Collection[int] = ()) -> History:
    history = History(prompt, sampling, breakers)
    for token in drawn:
        history.add(token)
    return history


def taken(history: History) -> list[float]:
    """What the penalties take from logits of nothing but zeros."""
    return (-penalise(torch.zeros(1, VOCAB), [history])[0]).tolist()


def test_presence_and_frequency_count_what_was_drawn_and_not_the_prompt() -> None:
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    assert taken(after([0, 0, 1], [2, 2, 2, 1], sampling)) == [0.0, 0.75, 1.25, 0.0, 0.0, 0.0]


def test_the_repetition_penalty_comes_first_and_counts_the_prompt() -> None:
    logits = torch.tensor([[4.0, -1.0, 3.0, 2.0]])
    sampling = Sampling(repetition_penalty=2.0, presence_penalty=0.5)
    assert penalise(logits, [after([0, 1], [2], sampling)]).tolist() == [[2.0, -2.0, 1.0, 2.0]]


def dry(tokens: Sequence[int], sampling: Sampling, breakers: Collection[int]) -> list[float]:
    """DRY word for word as its author describes it: each earlier place is compared backwards with the end."""
    penalties = [0.0] * VOCAB
    last = len(tokens) - 1
    for place in range(last):
        length = 0
        while length <= place and tokens[place - length] == tokens[last - length] not in breakers:
            length += 1
        following = tokens[place + 1]
        if length >= sampling.dry_allowed_length and following not in breakers:
            exponent = min(length, 50) - sampling.dry_allowed_length
            penalties[following] = max(penalties[following], sampling.dry_multiplier * sampling.dry_base**exponent)
    return penalties


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_dry_takes_what_a_comparison_of_all_places_says(allowed: int) -> None:
    luck = random.Random(allowed)
    sampling = Sampling(dry_multiplier=0.8, dry_base=1.5, dry_allowed_length=allowed)
    punished = 0
    for _ in range(300):
        tokens = [luck.randrange(4) for _ in range(luck.randrange(1, 60))]
        start, breakers = luck.randrange(len(tokens)), {luck.randrange(4)}
        expected = dry(tokens, sampling, breakers)
        assert taken(after(tokens[:start], tokens[start:], sampling, breakers)) == pytest.approx(expected)
        punished += any(expected)
    assert punished > 20


def test_dry_breaks_a_loop_and_leaves_other_rows_alone() -> None:
    logits = torch.tensor([[5.0, 4.9, 1.0], [5.0, 4.9, 1.0]])
    looping, free = (Row([], Sampling(temperature=0.0, dry_multiplier=multiplier)) for multiplier in (0.8, 0.0))
    drawn = [draw(logits, [looping, free]) for _ in range(12)]
    assert {token for _, token in drawn} == {0}
    assert Counter(token for token, _ in drawn).keys() >= {0, 1}


def test_a_row_that_goes_on_after_a_pause_has_the_penalties_it_had() -> None:
    sampling = Sampling(
        repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.2, dry_multiplier=0.8, dry_allowed_length=1
    )
    prompt, drawn = [0, 1, 2], [3, 4, 3, 4, 1]
    resumed = Row([*prompt, *drawn], sampling)
    resumed.go_on_after(drawn)
    logits = torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(0))
    expected = penalise(logits, [after(prompt, drawn, sampling)])
    assert torch.equal(penalise(logits, [resumed.history]), expected)
    assert not torch.equal(expected, logits)


def test_breakers_are_tokens_with_their_text_and_control_tokens() -> None:
    words = {"a": 0, "b:": 1, ":": 2, "x": 3, "y": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer.add_special_tokens(["<end>"])
    sampling = Sampling(dry_multiplier=0.8, dry_sequence_breakers=(":", "x y"))
    assert dry_breakers(tokenizer, sampling) == {1, 2, 4, 5}
    assert not dry_breakers(tokenizer, replace(sampling, dry_multiplier=0.0))
