"""One request on its way through the scheduler: the job, its texts as they grow, and what a round brings.

A text can leave its batch at any moment and go on in another, where it reads the prompt and all that is written, and
draws the random numbers that would have come next. (vLLM calls this preemption by recomputation: Kwon et al., SOSP
2023, section 4.5.)
"""

import codecs
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from engine.api.thoughts import TAGS, Thoughts
from engine.api.types import FinishReason, Message, Sampling, TokenLogprob, seed_of
from engine.errors import EngineError, ModelError
from engine.inference.batch import NOT_FINITE, Row
from engine.inference.penalties import dry_breakers
from engine.models.family import ORDINARY, ModelFamily


@dataclass(slots=True, eq=False)
class Job:
    """One request, as the scheduler sees it, who alone touches `sequences`."""

    prompt: Sequence[int]
    sampling: Sampling
    adapter: str | None = None
    """The key of its version's adapter; None: the base."""
    user: str | None = None
    """Whose it is; None: somebody who asks for nothing else."""
    n: int = 1
    """So many texts are to be written of it, side by side."""
    spare_seconds: float | None = None
    """All but the first are written only where nobody has to wait for them, and only as many as keep the answer within
    so many seconds, or within `latency.FACTOR` times what a single text takes; None: all are."""
    messages: Sequence[Message] = ()
    """What the prompt says."""
    family: ModelFamily = ORDINARY
    """Of the model."""
    may_begin_in_thought: bool = False
    """Whether the chat template lets the model think aloud before it answers."""
    is_cancelled: bool = False
    """May be set from any thread; the job's rows are free before the next step."""
    sequences: list["SequenceState"] = field(default_factory=list)
    """Its texts as far as they are begun."""

    @property
    def person(self) -> Hashable:
        """For whom turns are counted: the user, or else this job alone."""
        return self if self.user is None else self.user

    @property
    def max_length(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return len(self.prompt) + self.sampling.max_tokens

    def begin(self, tokenizer: Tokenizer) -> "SequenceState":
        """One more text, of which nothing is written yet."""
        self.sequences.append(SequenceState(self, tokenizer, number=len(self.sequences)))
        return self.sequences[-1]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """What one round brought to one text of a job."""

    job: Job
    number: int = 0
    """Which of the job's texts."""
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    """Why this text ends, if it does."""
    logprob: TokenLogprob | None = None
    """Of the token, where it is asked for and no thought."""
    error: EngineError | None = None
    """Why the job ends without all that it was to bring."""
    is_last: bool = False
    """Whether the job is over."""


class SequenceState(Row):
    """A text of a job and how far it is written, whether it is in a batch or waits for one.

    `number` counts the texts of one job from 0.
    """

    def __init__(self, job: Job, tokenizer: Tokenizer, *, number: int) -> None:
        sampling = replace(job.sampling, seed=seed_of(job.sampling.seed, number))
        self._breakers = dry_breakers(tokenizer, sampling)
        super().__init__(job.prompt, sampling, breakers=self._breakers)
        self.job = job
        self.number = number
        self._tokenizer = tokenizer
        self.is_alone = False
        """Whether it is to share its batch with nobody, for a batch with it in has failed."""
        self.is_over = False
        self.is_finished = False
        """Whether it has come to its end: it is over, and neither given up nor failed."""
        self._detokenizer = Detokenizer(tokenizer, job.sampling.stop, may_begin_in_thought=job.may_begin_in_thought)
        self._tokens: list[int] = []
        self._pieces: list[str] = []

    @property
    def group(self) -> tuple[str | None, Hashable]:
        """Texts of one group share a batch: those of one version, but for the ones that are to be alone."""
        return self.job.adapter, self if self.is_alone else None

    @property
    def is_spare(self) -> bool:
        """Whether it is given up where somebody has to wait for it; it is shown in one piece, then."""
        return self.number > 0 and self.job.spare_seconds is not None

    @property
    def length(self) -> int:
        """How many tokens of it are written."""
        return len(self._tokens)

    def restart(self) -> None:
        """Be a row that goes on where the text stands, once it has read all that is written."""
        prompt = [*self.job.prompt, *self._tokens]
        super().__init__(prompt, self.sampling, breakers=self._breakers, noise_seed=self.noise_seed)
        self.go_on_after(self._tokens)

    def append(self, token: int, end_tokens: frozenset[int]) -> JobProgress:
        """Add the newest token; returns what that means for the job."""
        if token == NOT_FINITE:
            name = "The base model" if self.job.adapter is None else "This version"
            return self.fail(ModelError(f"{name} computes values that are not numbers; roll it back."))
        self._tokens.append(token)
        is_end = token in end_tokens and not self.sampling.ignore_eos
        text = "" if is_end else self._detokenizer.push(token)
        reason: FinishReason | None = None
        if is_end or self._detokenizer.is_stopped:
            reason = "stop"
        elif len(self._tokens) >= self.sampling.max_tokens:
            reason = "length"
        if reason is not None:
            text += self._detokenizer.finish()
        self._pieces.append(self.job.family.as_shown(text, self.job.messages))
        self.is_over = self.is_finished = reason is not None
        shown = ""
        if self.is_over or not self.is_spare:
            shown = "".join(self._pieces)
            self._pieces.clear()
        return self._progress(text=shown, tokens=1, finish_reason=reason, logprob=None if is_end else self._logprob())

    def _logprob(self) -> TokenLogprob | None:
        """How likely the newest token was, if that is asked for and it may be shown."""
        if self.sampling.top_logprobs is None or self._detokenizer.is_thinking:
            return None
        chosen, *top = [TokenLogprob(_text_of(self._tokenizer, token), value) for token, value in self.likely]
        return replace(chosen, top=tuple(top))

    def fail(self, error: EngineError) -> JobProgress:
        """End the text with an error, which is the job's unless the text is spare."""
        if self.is_spare:
            return self.drop()
        self.is_over = True
        self.job.is_cancelled = True  # what it has beside this text goes with it
        return JobProgress(self.job, self.number, error=error, is_last=True)

    def drop(self) -> JobProgress:
        """End a spare text that is not finished, as if it had never been begun."""
        self.is_over = True
        return self._progress()

    def _progress(
        self,
        *,
        text: str = "",
        tokens: int = 0,
        finish_reason: FinishReason | None = None,
        logprob: TokenLogprob | None = None,
    ) -> JobProgress:
        is_last = self.is_over and all(sequence.is_over for sequence in self.job.sequences)
        return JobProgress(self.job, self.number, text, tokens, finish_reason, logprob, is_last=is_last)


class Detokenizer:
    """From one text's token ids to text that may be shown at once.

    Held back are the bytes of a character that is not complete, and the beginning of what may become a stop string. A
    stop string, what follows it, and what the model thinks aloud is never shown.

    Tokens that stand for one byte each (`<0xE4>`, of tokenizers with byte fallback) are put together here: tokenizers'
    own decoder makes question marks of a whole run of them if its end is broken, also of characters that were complete
    and are shown already, and then refuses to go on.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), *, may_begin_in_thought: bool = False) -> None:
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._has_begun = False
        self._undecoded: list[int] = []
        """The newest tokens, of which nothing is shown yet."""
        self._thoughts = Thoughts(may_begin_in_one=may_begin_in_thought)
        self._has_shown = False
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False
        """Whether a stop string has come."""

    @property
    def is_thinking(self) -> bool:
        """Whether the model thinks aloud, as far as is known."""
        return self._thoughts.is_open

    def push(self, token: int) -> str:
        """Take the next token id; return the text that may be shown now, perhaps none."""
        bytes_of = _byte_tokens(self._tokenizer)
        if token in bytes_of:
            if not self._has_begun:  # a word after it keeps its space, as after any text
                self._decoded(next((other for other, byte in bytes_of.items() if byte == b"."), token))
            return self._answer(self._utf8.decode(bytes_of[token]))
        if text := _tags(self._tokenizer).get(token) or self._decoded(token):
            text = self._utf8.decode(b"", final=True) + text
        return self._answer(text)

    def _answer(self, text: str) -> str:
        """Of the next piece of text, thoughts included, what may be shown now."""
        began_in_one = self._thoughts.began_in_one
        answer = self._thoughts.feed(text)
        if self._thoughts.began_in_one and not began_in_one and self._has_shown:
            answer = f"</think>{answer}"  # only whoever has all of it can take back what came before
        self._has_shown = self._has_shown or bool(answer.strip())
        return self.push_text(answer)

    def _decoded(self, token: int) -> str:
        self._has_begun = True
        self._undecoded.append(token)
        try:
            text = self._decoder.step(self._tokenizer, token)
        except Exception:  # noqa: BLE001 - it has no other: with this token, what came before reads otherwise
            self._decoder = DecodeStream(skip_special_tokens=True)
            text = self._decoder.step(self._tokenizer, token)
        if text:
            self._undecoded.clear()
        return text or ""

    def finish(self) -> str:
        """The text that was held back in vain; a character that never became complete is dropped."""
        shown = ""
        if self._undecoded:
            shown = self._answer(self._tokenizer.decode(self._undecoded).rstrip("\ufffd"))
        shown += self.push_text(self._thoughts.finish())
        shown, self._held = shown + self._held, ""
        return shown

    def push_text(self, text: str) -> str:
        """Take the next piece of text; return what may be shown now."""
        if self.is_stopped or not self._stop:
            return "" if self.is_stopped else text
        self._held += text
        starts = [at for at in map(self._held.find, self._stop) if at >= 0]
        if starts:
            self.is_stopped = True
            shown, self._held = self._held[: min(starts)], ""
            return shown
        end = len(self._held) - self._possible_beginning()
        shown, self._held = self._held[:end], self._held[end:]
        return shown

    def _possible_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stop)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


@lru_cache(maxsize=4)
def _byte_tokens(tokenizer: Tokenizer) -> Mapping[int, bytes]:
    """The tokens that stand for one byte each, of a tokenizer that decodes them as bytes."""
    if tokenizer.decoder is None or b'"ByteFallback"' not in tokenizer.decoder.__getstate__():
        return {}
    ids = {byte: tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256)}
    return {token: bytes((byte,)) for byte, token in ids.items() if token is not None}


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    """What a token says by itself, with the space that it begins with."""
    text = str(tokenizer.decode([token], skip_special_tokens=False))
    begins_word = str(tokenizer.id_to_token(token) or "").startswith("▁") and not text.startswith(" ")
    return f" {text}" if begins_word else text


@lru_cache(maxsize=4)
def _tags(tokenizer: Tokenizer) -> Mapping[int, str]:
    """The control tokens between which a model thinks aloud; decoding leaves them out, and then its thoughts stay."""
    added = tokenizer.get_added_tokens_decoder().items()
    return {token: each.content for token, each in added if each.special and each.content in TAGS}
