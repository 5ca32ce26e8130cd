"""What a version answers to logged prompts, sampled in bulk by the very code that serves people."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

from peft import PeftModelForCausalLM
from transformers import PreTrainedModel

from engine.api.thoughts import without_thoughts
from engine.api.types import Message, Sampling
from engine.errors import RunError
from engine.inference.batch import NOT_FINITE, Batch, Row
from engine.inference.penalties import dry_breakers
from engine.models.layers import gains_by_bfloat16
from engine.models.loader import Base
from engine.models.logprobs import CausalModel, Encoded
from engine.runs.config import RunConfig

_MOST_ROWS = 96
_FEWEST_NEWCOMERS = 16
"""Rows that join one by one cost a forward pass each; so a few places are left free until so many can be filled."""
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Prompt:
    """A logged prompt to replay."""

    tokens: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    author: str = ""  # who asked, by a pseudonym
    segments: tuple[str, ...] = ()  # what those who asked have in common with others
    kind: str = ""  # of text, which decides how it is sampled

    @classmethod
    def of(
        cls,
        base: Base,
        messages: Sequence[Message],
        author: str = "",
        segments: tuple[str, ...] = (),
        *,
        kind: str = "",
    ) -> Self:
        """The prompt that these messages are to a model."""
        return cls(tuple(base.template.encode(messages)), tuple(messages), author, segments, kind)


@dataclass(frozen=True, slots=True)
class Replies:
    """What one version answered; rows, texts and owners in the same order."""

    rows: tuple[Encoded, ...]
    """Prompt, with the noise that was drawn for it, and sampled tokens, the end token included where it came."""
    texts: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    owners: tuple[int, ...]  # the index of the prompt that each answers


def sample_replies(
    model: CausalModel, base: Base, prompts: Sequence[Prompt], *, config: RunConfig, count: int, seed: int
) -> Replies:
    """Draw `count` replies, evenly over the prompts, each of which must leave room in the context.

    Two versions sampled with the same arguments see the same random numbers, reply by reply: each has its own seed.

    Raises:
        RunError: the model's probabilities are not finite numbers.
    """
    owners = tuple(number % len(prompts) for number in range(count))
    samplings = [_fitting(config.sampling_of(prompt.kind), prompt, base) for prompt in prompts]
    rows = [
        Row(
            prompts[owner].tokens,
            replace(samplings[owner], seed=seed * _SEED_STRIDE + number),
            breakers=dry_breakers(base.tokenizer.backend_tokenizer, samplings[owner]),
        )
        for number, owner in enumerate(owners)
    ]
    longest = max(len(prompt.tokens) + sampling.max_tokens for prompt, sampling in zip(prompts, samplings, strict=True))
    most_rows = min(_MOST_ROWS, max(1, config.max_batch_tokens // longest))
    written = _write(model, base, rows, most_rows=most_rows)
    texts = base.tokenizer.batch_decode([written[row] for row in rows], skip_special_tokens=True)
    return Replies(
        rows=tuple(Encoded(tuple(row.prompt), tuple(written[row])) for row in rows),
        texts=tuple(
            base.family.as_shown(without_thoughts(text), prompts[owner].messages)
            for owner, text in zip(owners, texts, strict=True)
        ),
        prompts=tuple(prompts),
        owners=owners,
    )


def _fitting(sampling: Sampling, prompt: Prompt, base: Base) -> Sampling:
    """The same, with no more tokens than the context has room for after the prompt."""
    return replace(sampling, max_tokens=min(sampling.max_tokens, base.context_tokens - len(prompt.tokens)))


def _write(model: CausalModel, base: Base, rows: Sequence[Row], *, most_rows: int) -> dict[Row, list[int]]:
    """Every row's tokens, up to and including its end token or as many as it may have."""
    inner = model.get_base_model() if isinstance(model, PeftModelForCausalLM) else model
    batch: Batch[Row] = Batch(
        cast(PreTrainedModel, inner), family=base.family, in_bfloat16=gains_by_bfloat16(base.model)
    )
    ends = base.end_tokens
    waiting = deque(sorted(rows, key=lambda row: len(row.prompt)))
    written: dict[Row, list[int]] = {row: [] for row in rows}
    while waiting or batch.rows:
        free = min(most_rows - len(batch.rows), len(waiting))
        if free and (free >= min(_FEWEST_NEWCOMERS, max(1, most_rows // 4), len(waiting)) or not batch.rows):
            active = [waiting.popleft() for _ in range(free)]
            tokens = batch.join(active)
        else:
            active = list(batch.rows)
            tokens = batch.step()
        require_drawn(tokens)
        for row, token in zip(active, tokens, strict=True):
            written[row].append(token)
        batch.drop([row for row in active if written[row][-1] in ends or len(written[row]) == row.sampling.max_tokens])
    return written


def require_drawn(tokens: Sequence[int]) -> None:
    """Raises RunError if some token could not be drawn, because its probabilities are not finite numbers."""
    if NOT_FINITE in tokens:
        raise RunError(
            "The model's probabilities are not finite numbers: lower learning_rate in config.json, or choose another"
            " base."
        )
