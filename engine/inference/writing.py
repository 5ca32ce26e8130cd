"""One request on its way through the scheduler: the job, what a round brings it, and the text as it grows.

Knows token ids, sampling and text. Knows nothing of batches, queues or threads. A text can leave its batch at any
moment and go on in another: the new row reads the prompt and all that is written, and draws the random numbers that
would have come next. (vLLM calls this preemption by recomputation: Kwon et al., SOSP 2023, section 4.5.)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from random import getrandbits

from tokenizers import Tokenizer

from engine.api.chat import FinishReason, Sampling
from engine.api.tasting import seed_of
from engine.errors import EngineError, ModelError
from engine.inference.decoding import Row
from engine.inference.sampling import NOT_FINITE
from engine.inference.text_stream import TextStream
from engine.latent.slots import fill


@dataclass(slots=True, eq=False)
class Job:
    """One request, as the scheduler sees it."""

    prompt: Sequence[int]
    sampling: Sampling
    adapter: str | None = None
    """The key of its version's adapter; None: the base."""
    user: str | None = None
    """Whose it is; None: somebody who asks for nothing else."""
    best_of: int = 1
    """So many texts may be written of it, side by side, where nobody has to wait for them."""
    topic: str = ""
    """What is filled in where the text leaves its topic open."""
    is_cancelled: bool = False
    """May be set from any thread; the job's rows are free before the next step."""

    @property
    def person(self) -> Hashable:
        """For whom turns are counted: the user, or else this job alone."""
        return self if self.user is None else self.user

    @property
    def reach(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return len(self.prompt) + self.sampling.max_tokens


@dataclass(frozen=True, slots=True)
class Take:
    """One of several finished texts of a job."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Progress:
    """What one round brought to one job. The last has a finish reason or an error."""

    job: Job
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    error: EngineError | None = None
    takes: tuple[Take, ...] = ()
    """All that was written, when it was several texts and one is still to be chosen: the next is the last."""
    compared: int = 1
    """How many texts `text` was chosen from."""

    @property
    def is_last(self) -> bool:
        """Whether the job is over."""
        return self.finish_reason is not None or self.error is not None


class Writing:
    """A text of a job and how far it is written, whether its row is in a batch or it waits for one.

    `number` counts the texts of one job: the first is 0, those beside it are its companions.
    """

    def __init__(self, job: Job, tokenizer: Tokenizer, number: int = 0) -> None:
        self.job = job
        self.number = number
        self.is_over = False
        self._sampling = replace(job.sampling, seed=seed_of(job.sampling.seed, number))
        self._text = TextStream(tokenizer, job.sampling.stop)
        self._written: list[int] = []
        self._noise_seed = getrandbits(31)

    @property
    def written(self) -> int:
        """How many tokens of it are written."""
        return len(self._written)

    @property
    def unread(self) -> int:
        """How many tokens a new row has to read."""
        return len(self.job.prompt) + len(self._written)

    def row(self) -> Row:
        """A new row that goes on where the text stands."""
        row = Row([*self.job.prompt, *self._written], self._sampling, noise_seed=self._noise_seed)
        row.sampler.go_on_after(self._written)
        return row

    def take(self, token: int, end_tokens: frozenset[int]) -> Progress:
        """Add the newest token and say what it means for a job of this text alone."""
        progress = self._taken(token, end_tokens)
        self.is_over = progress.is_last
        return progress

    def _taken(self, token: int, end_tokens: frozenset[int]) -> Progress:
        if token == NOT_FINITE:
            name = "The base model" if self.job.adapter is None else "This version"
            return Progress(self.job, error=ModelError(f"{name} computes values that are not numbers; roll it back."))
        self._written.append(token)
        is_end = token in end_tokens and not self._sampling.ignore_eos
        text = "" if is_end else self._text.push(token)
        reason: FinishReason | None = None
        if is_end or self._text.is_stopped:
            reason = "stop"
        elif len(self._written) >= self._sampling.max_tokens:
            reason = "length"
        if reason is not None:
            text += self._text.finish()
        return Progress(self.job, fill(text, self.job.topic), 1, reason)
