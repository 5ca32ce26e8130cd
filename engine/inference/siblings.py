"""The texts of one job that are written side by side, so that one of them can be chosen.

The first is the job's own; its companions come along where nobody has to wait for it, and may be sent away at any time.
All of them end together, and then the job gets its finished texts at once. Knows writings and progress. Knows nothing
of batches, queues, threads, or of how one is chosen.
"""

from dataclasses import dataclass, field

from tokenizers import Tokenizer

from engine.errors import EngineError
from engine.inference.forecast import Forecast
from engine.inference.writing import Job, Progress, Take, Writing


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
