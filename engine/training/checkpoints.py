"""The way that training has gone: marks to go back to, when it has gone too far. Knows weights; knows no ratings."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_MOST_MARKS = 24


class Trail:
    """Copies of the weights along the way, the first where training starts; every other goes when there are many."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._marks = [(0, _copies(parameters))]
        self._count = 0

    def mark(self) -> None:
        """The present weights keep the budget."""
        if len(self._marks) == _MOST_MARKS:
            self._marks = self._marks[::2]
        self._count += 1
        self._marks.append((self._count, _copies(self._parameters)))

    def go_to(self, share: float) -> None:
        """Go to the mark nearest to this share of the way so far; 0 is the start, 1 the last mark."""
        _, there = min(self._marks, key=lambda mark: abs(mark[0] - share * self._count))
        self._interpolate(there, there, 0.0)

    def land(self, measure_kl: Callable[[], float], budget: float) -> float:
        """Move back until the budget is kept again, to a mark and by halving towards the next; returns the KL there.

        Marks beyond the budget are dropped: it was kept there by the measure of the time, and is not by this one.
        """
        outside = _copies(self._parameters)
        while True:
            self._count, inside = self._marks[-1]
            self._interpolate(inside, inside, 0.0)
            reached = measure_kl()
            if reached <= budget or len(self._marks) == 1:
                break
            outside = self._marks.pop()[1]
        share = 0.0
        for step in (0.5, 0.25, 0.125):
            self._interpolate(inside, outside, share + step)
            kl = measure_kl()
            if kl <= budget:
                share, reached = share + step, kl
        self._interpolate(inside, outside, share)
        return reached

    @torch.no_grad()
    def _interpolate(self, inside: Sequence[Tensor], outside: Sequence[Tensor], share: float) -> None:
        for parameter, near, far in zip(self._parameters, inside, outside, strict=True):
            # Not lerp: at share 0 even infinite weights outside must leave no trace.
            parameter.copy_(near if share == 0.0 else near + share * (far - near))


def _copies(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]
