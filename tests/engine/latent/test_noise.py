"""Noise as tokens of a prompt."""

import math
from statistics import fmean, pstdev

from engine.latent.model import LEVELS, Noise

NOISE = Noise(count=3, open_id=3, first_level=16)
PROMPT = [4, 200, 3, 3, 3, 2]


def test_open_places_stand_for_zero() -> None:
    assert NOISE.read(PROMPT) == [0.0, 0.0, 0.0]


def test_numbers_come_back_within_half_a_step() -> None:
    numbers = [-1.234, 0.0, 3.21]
    filled = NOISE.fill(PROMPT, numbers)
    assert filled[:2] == PROMPT[:2]
    assert filled[-1] == 2
    assert all(math.isclose(a, b, abs_tol=1 / 32) for a, b in zip(NOISE.read(filled), numbers, strict=True))


def test_what_lies_beyond_the_edge_is_taken_for_the_edge() -> None:
    assert NOISE.fill(PROMPT, [-99.0, 99.0, 0.0])[2:4] == [16, 16 + LEVELS - 1]


def test_a_filled_prompt_is_not_drawn_anew_and_can_be_cleared() -> None:
    filled = NOISE.draw(PROMPT, [0.0] * 3, 1)
    assert NOISE.draw(filled, [0.0] * 3, 2) == filled
    assert NOISE.clear(filled) == PROMPT


def test_the_seed_decides_and_the_shift_moves() -> None:
    assert NOISE.draw(PROMPT, [0.0] * 3, 1) == NOISE.draw(PROMPT, [0.0] * 3, 1)
    drawn = [NOISE.read(NOISE.draw(PROMPT, [1.0, 0.0, 0.0], seed)) for seed in range(1500)]
    first, second = [each[0] for each in drawn], [each[1] for each in drawn]
    assert abs(fmean(first) - 1.0) < 0.1
    assert abs(fmean(second)) < 0.1
    assert abs(pstdev(second) - 1.0) < 0.1
