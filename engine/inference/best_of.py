"""How much longer one answer takes when several texts are written for it side by side, foretold from measurements.

A single text of n tokens takes n steps of one row. A step of r rows takes 1 + a (r - 1) times as long. Of k texts the
longest decides: it has about n (1 + c ln k) tokens (where lengths have an exponential tail, the largest of k grows by
the logarithm: Gumbel, "Statistics of Extremes", 1958), and at the end all k are read to be compared, which takes b
steps a text. a, b and c are moving averages. A machine is disturbed now and then, so one measurement counts as twice
what was expected at most; and what is not measured any more fades back to a first guess, so that one bad minute does
not decide for ever. Knows seconds, rows and tokens. Knows nothing of models, clocks or threads. Torch-free.

The texts of one job that are written side by side, so that one of them can be chosen.

The first is the job's own; its companions come along where nobody has to wait for it, and may be sent away at any time.
All of them end together, and then the job gets its finished texts at once. Knows writings and progress. Knows nothing
of batches, queues, threads, or of how one is chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tokenizers import Tokenizer

from engine.errors import EngineError
from engine.inference.request import Job, Progress, Take, Writing

MOST_TIMES: Final = 2.0
"""An answer may take so many times as long as a single text on an idle engine."""

_NEWS = 0.03
"""The weight of what is new in a moving average."""
_ROW_COSTS, _READING_COSTS, _SPREAD = 0.1, 1.0, 0.25
"""The first guesses of a, b and c."""
_TYPICAL_TOKENS = 64.0
"""The first guess of n."""


class Forecast:
    """What steps, texts and readings have cost lately."""

    def __init__(self) -> None:
        self._step_seconds = 0.0
        self._row_costs = _ROW_COSTS
        self._reading_costs = _READING_COSTS
        self._spread = _SPREAD
        self._tokens = _TYPICAL_TOKENS

    def note_step(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long.

        Half of what was not expected may be the machine's speed, half what rows cost; steps of one row, which come at
        the end of every answer, tell the two apart.
        """
        if not self._step_seconds:
            self._step_seconds = seconds / self._times(rows)
        surprise = min(seconds / (self._step_seconds * self._times(rows)) - 1.0, 1.0)
        if rows > 1:  # the more rows, the better they tell what one costs
            change = surprise * self._times(rows) / (rows + 3)
            self._row_costs = max(self._row_costs + _NEWS * change, 0.0)
        self._step_seconds *= 1.0 + 2.0 * _NEWS * surprise

    def note_texts(self, tokens: Sequence[int]) -> None:
        """These texts of one answer are complete; `tokens` says how long each is."""
        mean = sum(tokens) / len(tokens)
        self._tokens += _NEWS * (mean - self._tokens)
        if len(tokens) > 1:
            self._spread += _NEWS * ((max(tokens) / mean - 1.0) / math.log(len(tokens)) - self._spread)
        else:
            self._row_costs += _NEWS * (_ROW_COSTS - self._row_costs)
            self._reading_costs += _NEWS * (_READING_COSTS - self._reading_costs)
            self._spread += _NEWS * (_SPREAD - self._spread)

    def note_reading(self, texts: int, seconds: float) -> None:
        """So many texts were read, to be compared, in so long."""
        if self._step_seconds:
            steps = min(seconds / texts / self._step_seconds, 2.0 * self._reading_costs)
            self._reading_costs += 4.0 * _NEWS * (steps - self._reading_costs)  # they are few

    def allows(self, rows: Sequence[int], texts: int) -> bool:
        """Whether an answer of so many texts may be begun when the batches then have so many `rows` each."""
        longest = 1.0 + self._spread * math.log(texts)
        reading = texts * self._reading_costs / self._tokens
        return longest * sum(map(self._times, rows)) + reading <= MOST_TIMES

    def _times(self, rows: int) -> float:
        """How many times as long as a step of one row a step of so many takes."""
        return 1.0 + self._row_costs * (rows - 1)


@dataclass(slots=True)
class _Siblings:
    """One job's texts, by number; `open` holds the pieces of those that are being written."""

    open: dict[int, list[str]]
    takes: dict[int, Take] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    """The lengths of the takes."""
    size: int = 1
    error: EngineError | None = None


class Families:
    """All jobs of which several texts are written. `forecast` is told how long the texts of each answer were."""

    def __init__(self, tokenizer: Tokenizer, forecast: Forecast) -> None:
        self._tokenizer = tokenizer
        self._forecast = forecast
        self._siblings: dict[Job, _Siblings] = {}

    def companion(self, job: Job) -> Writing:
        """One more text of a job, of which nothing is written yet."""
        siblings = self._siblings.setdefault(job, _Siblings(open={0: []}))
        siblings.size += 1
        siblings.open[siblings.size - 1] = []
        return Writing(job, self._tokenizer, siblings.size - 1)

    def size(self, job: Job) -> int:
        """How many texts of it have been begun."""
        return self._siblings[job].size if job in self._siblings else 1

    def heard(self, writing: Writing, progress: Progress) -> Progress:
        """What a text's progress means for its job."""
        siblings = self._siblings.get(writing.job)
        if siblings is None:
            if progress.finish_reason is not None:
                self._forecast.note_texts([writing.written])
            return progress
        if not progress.is_last:
            siblings.open[writing.number].append(progress.text)
            return Progress(writing.job, tokens=progress.tokens)
        pieces = siblings.open.pop(writing.number)
        if progress.finish_reason is None:
            siblings.error = progress.error
        else:
            siblings.takes[writing.number] = Take("".join([*pieces, progress.text]), progress.finish_reason)
            siblings.tokens.append(writing.written)
        return self._so_far(writing.job, siblings, progress.tokens)

    def send_away(self, companion: Writing) -> Progress:
        """Forget a companion that is not finished."""
        siblings = self._siblings[companion.job]
        del siblings.open[companion.number]
        return self._so_far(companion.job, siblings)

    def forget(self, job: Job) -> None:
        """The job is over before its texts are."""
        self._siblings.pop(job, None)

    def _so_far(self, job: Job, siblings: _Siblings, tokens: int = 0) -> Progress:
        if siblings.open:
            return Progress(job, tokens=tokens)
        del self._siblings[job]
        if not siblings.takes:
            return Progress(job, tokens=tokens, error=siblings.error)
        self._forecast.note_texts(siblings.tokens)
        return Progress(job, tokens=tokens, takes=tuple(take for _, take in sorted(siblings.takes.items())))
