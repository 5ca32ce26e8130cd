"""How long an answer takes when several texts are written for it side by side."""

import math
from collections.abc import Sequence
from typing import Final

FACTOR: Final = 2.0
"""An answer may take so many times as long as a single text on an idle engine, even where that is longer than asked."""
_SMOOTHING = 0.03
"""The weight of a new measurement in a moving average."""
_ROW_COST, _SPREAD, _TYPICAL_TOKENS = 0.05, 0.25, 64.0
"""The first guesses of a, c and n in `LatencyModel`."""


class LatencyModel:
    """Learns from measurements how long an answer of several texts takes.

    A single text of n tokens takes n steps of one row. A step of r rows takes 1 + a (r - 1) times as long. Of k texts
    the longest decides: it has about n (1 + c ln k) tokens (where lengths have an exponential tail, the largest of k
    grows by the logarithm: Gumbel, "Statistics of Extremes", 1958), and no more than are allowed. a, c, n and the time
    of a step are moving averages. A machine is disturbed now and then, so one measurement counts as twice what was
    expected at most; and what is not measured any more fades back to a first guess, so that one bad minute does not
    decide for ever.
    """

    def __init__(self) -> None:
        self._step_seconds = 0.0
        self._row_cost = _ROW_COST
        self._spread = _SPREAD
        self._tokens = _TYPICAL_TOKENS

    def observe_step(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long.

        Half of what was not expected may be the machine's speed, half what rows cost; steps of one row, which come at
        the end of every answer, tell the two apart.
        """
        if not self._step_seconds:
            self._step_seconds = seconds / self._step_cost(rows)
        surprise = min(seconds / (self._step_seconds * self._step_cost(rows)) - 1.0, 1.0)
        if rows > 1:  # the more rows, the better they tell what one costs
            change = surprise * self._step_cost(rows) / (rows + 3)
            self._row_cost = max(self._row_cost + _SMOOTHING * change, 0.0)
        self._step_seconds *= 1.0 + 2.0 * _SMOOTHING * surprise

    def observe_answer(self, lengths: Sequence[int]) -> None:
        """The texts of one answer are complete; `lengths` are in tokens."""
        mean = sum(lengths) / len(lengths)
        self._tokens += _SMOOTHING * (mean - self._tokens)
        if len(lengths) > 1:
            self._spread += _SMOOTHING * ((max(lengths) / mean - 1.0) / math.log(len(lengths)) - self._spread)
        else:
            self._row_cost += _SMOOTHING * (_ROW_COST - self._row_cost)
            self._spread += _SMOOTHING * (_SPREAD - self._spread)

    def allows(self, rows: Sequence[int], texts: int, *, max_tokens: int, seconds: float) -> bool:
        """Whether an answer of so many texts keeps within so many seconds, or within `FACTOR` of a single text.

        `rows` are those that the batches then have, each version's; `max_tokens` is what a text may have.
        """
        single = min(self._tokens, max_tokens)
        longest = min(single * (1.0 + self._spread * math.log(texts)), max_tokens)
        steps = longest * sum(map(self._step_cost, rows))
        is_measured = self._step_seconds > 0.0
        return steps <= FACTOR * single or (is_measured and steps * self._step_seconds <= seconds)

    def _step_cost(self, rows: int) -> float:
        """How many times as long as a step of one row a step of so many takes."""
        return 1.0 + self._row_cost * (rows - 1)
