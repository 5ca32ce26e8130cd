"""The noise that a generator writes from, as tokens at the end of its prompt: so one prompt has one text, and every
sampler, cache, trainer and measure of the engine can treat a generator as a language model.

A prompt ends with `count` places. An open place stands for 0, the mean of the prior; a filled one for the middle of one
of `LEVELS` steps of a normal variate between -`REACH` and `REACH`. Knows ids and numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Number = TypeVar("Number", float, "Tensor")

LEVELS: Final = 128
REACH: Final = 4.0
"""Standard deviations; one variate in 16,000 lies beyond, and is taken for one at the edge."""
_STEP = 2 * REACH / LEVELS


@dataclass(frozen=True, slots=True)
class Noise:
    """Which ids are noise, and how many a prompt has."""

    count: int
    """Numbers a prompt: the size of the latent."""
    open_id: int
    """An open place."""
    first_level: int
    """The id of the lowest level; the others follow."""

    def is_noise(self, token: int) -> bool:
        """Whether an id is a place, open or filled."""
        return token == self.open_id or self.first_level <= token < self.first_level + LEVELS

    def fill(self, prompt: Sequence[int], numbers: Sequence[float]) -> list[int]:
        """The prompt with its places filled by `count` numbers, in order."""
        left = iter(numbers)
        return [self._level(next(left)) if self.is_noise(token) else token for token in prompt]

    def draw(self, prompt: Sequence[int], shift: Sequence[float], seed: int) -> list[int]:
        """The prompt with its open places filled from N(shift, 1), by `count` numbers that the seed decides."""
        if self.open_id not in prompt:
            return list(prompt)
        random = Random(f"noise {seed}")
        return self.fill(prompt, [mean + random.gauss(0.0, 1.0) for mean in shift])

    def clear(self, prompt: Sequence[int]) -> list[int]:
        """The prompt with its places open."""
        return [self.open_id if self.is_noise(token) else token for token in prompt]

    def read(self, prompt: Sequence[int]) -> list[float]:
        """The numbers that the prompt holds."""
        return [0.0 if token == self.open_id else self.middle(token) for token in prompt if self.is_noise(token)]

    def middle(self, level: Number) -> Number:
        """The number that a filled place stands for, by its id; of a tensor of ids, a tensor."""
        return (level - self.first_level + 0.5) * _STEP - REACH

    def _level(self, number: float) -> int:
        return self.first_level + min(LEVELS - 1, max(0, int((number + REACH) / _STEP)))
