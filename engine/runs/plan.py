"""What of a night fits into its time and the machine's memory. Pure arithmetic on measured speeds, no torch.

A night has `RunConfig.max_minutes` for its training, and as long again for all that is read, written and judged around
it. What is too much is left out in this order, each as far as needed before the next is touched:

* training: on-policy steps, down to `FEWEST_POLICY_STEPS`; texts that measure the KL on the way, down to
  `FEWEST_PROBES`; passes over the rated texts, down to one, for most of what a night gains comes after them; instead
  of any on-policy steps, a pool of texts that are written once (`engine.training.best_of_pool`), down to
  `SMALLEST_POOL`; then that too, so that the rated texts have all of the KL budget; at last steps on the rated texts.
* judging: the earlier states of a candidate that oversteps a bound (`engine.training.candidate.STEPS_BACK`); replies
  that a version is judged by, down to `FEWEST_REPLIES`, and those that tell its bias with them.

How long writing takes follows from the time of a step, which is a constant and so much for each text of the batch:
alone, a text costs most of what sixteen cost together.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from engine.errors import RunError
from engine.runs.config import RunConfig
from engine.runs.run_dir import LeftOut, Omission

MOST_ROWS = 96  # texts that are written at the same time (`engine.evaluation.sampling`)
FEWEST_POLICY_STEPS = 12
SMALLEST_POOL = 128
FEWEST_PROBES = 16
FEWEST_REPLIES = 64
FEWEST_BIAS_TEXTS = 3
GOLDEN_TEXTS = 54  # those of `engine.evaluation.probes`, with all takes
BIAS_PROMPTS = 24
_CANARY_TOKENS = 3 * 256 * 28  # planted secrets and what they are ranked among
_POLICY_PROBES = 64
_CHECK_STEPS = 6
_ROLLBACK_CHECKS = 4
_MOST_GRADIENT_MB, _MOST_READ_MB = 1536, 3072  # larger pieces are no faster
_MEMORY_SHARE = 0.6  # of what a night takes beside the model, the largest tensors; the allocator's holes are the rest
_FORWARD_SHARE = 1 / 8  # memory of a token without gradient, of that with

StageName = Literal["reading", "training", "judging"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """What a model takes on this machine, measured by `python -m engine.measure`."""

    model: str
    parameters: int
    vocabulary: int
    load_seconds: float
    memory_mb: float  # that the process has when the model is loaded
    sample_tokens_per_second: float  # of 16 texts that are written together
    forward_tokens_per_second: float
    backward_tokens_per_second: float  # forward, backward and an adapter's step
    step_seconds: float  # of a sampling step, however many texts there are
    row_seconds: float  # and for each of them
    gradient_bytes: float  # memory of a token between forward and backward


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What there is to train on and how long texts are, tokens."""

    examples: int
    prompts: int
    prompt_tokens: float
    reply_tokens: float
    longest_reply: int
    has_champion: bool = False

    @property
    def text_tokens(self) -> float:
        """A prompt and its text, on average."""
        return self.prompt_tokens + self.reply_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A night as it fits."""

    config: RunConfig  # with what does not fit taken out
    seconds: dict[StageName, float] = field(default_factory=dict)  # forecast
    memory_mb: float = 0.0  # forecast of the most that the trainer takes
    left_out: tuple[LeftOut, ...] = ()

    @property
    def minutes(self) -> float:
        """How long the night is to take in all."""
        return sum(self.seconds.values()) / 60.0


_SPEEDS = TypeAdapter(Speeds)


def read_speeds(text: bytes | str) -> Speeds:
    """What `python -m engine.measure` has printed.

    Raises:
        RunError: it is something else.
    """
    try:
        return _SPEEDS.validate_json(text)
    except ValidationError as error:
        raise RunError("The measured speeds cannot be read: measure the model again.") from error


def plan_night(config: RunConfig, speeds: Speeds, work: Workload, *, free_mb: float = math.inf) -> Plan:
    """The most of the run that `config` asks for which fits. What fits whole is left as it is."""
    cost = _Cost(config, speeds, work)
    planned = fitting_pieces(config, speeds, free_mb)
    planned = _first_that_fits(planned, _less_judging(planned), cost.around)
    planned = _first_that_fits(planned, _less_training(planned, cost), cost.training)
    learned = min(planned.gradient_tokens, cost.step_tokens(planned)) * speeds.gradient_bytes / 2**20
    read = min(planned.max_batch_tokens, work.examples * work.text_tokens) * speeds.gradient_bytes / 2**20
    return Plan(
        config=planned,
        seconds={
            "reading": cost.reading(planned),
            "training": cost.training(planned),
            "judging": cost.judging(planned),
        },
        memory_mb=speeds.memory_mb + max(learned, _FORWARD_SHARE * read) / _MEMORY_SHARE,
        left_out=tuple(_left_out(config, planned, cost)),
    )


def fitting_pieces(config: RunConfig, speeds: Speeds, free_mb: float) -> RunConfig:
    """With micro-batches for which there is memory; their size changes nothing but that."""
    limit = config.max_memory_mb or math.inf
    room = min(_MEMORY_SHARE * free_mb, max(0.0, limit - speeds.memory_mb))
    learned, read = (
        max(1, int(min(most, room) * 2**20 / speeds.gradient_bytes)) for most in (_MOST_GRADIENT_MB, _MOST_READ_MB)
    )
    return replace(
        config,
        max_gradient_tokens=min(config.max_gradient_tokens, learned),
        max_batch_tokens=max(config.max_length, min(config.max_batch_tokens, int(read / _FORWARD_SHARE))),
    )


def _first_that_fits(
    config: RunConfig, lesser: Iterable[RunConfig], seconds: Callable[[RunConfig], float]
) -> RunConfig:
    """The first for which the minutes suffice, of this one and those that do ever less; else the last of them."""
    candidates = [config, *lesser]
    return next((each for each in candidates if seconds(each) <= 60.0 * config.max_minutes), candidates[-1])


def _less_judging(config: RunConfig) -> Iterator[RunConfig]:
    for judgements in range(config.judgements - 1, 0, -1):
        yield (config := replace(config, judgements=judgements))
    for eighths in range(7, 0, -1):
        texts = config.replay_texts * eighths // 8
        if texts >= FEWEST_REPLIES:
            yield replace(
                config,
                replay_texts=texts,
                replay_prompts=min(config.replay_prompts, texts),
                bias_texts=min(config.bias_texts, max(FEWEST_BIAS_TEXTS, config.bias_texts * eighths // 8)),
            )


def _less_training(config: RunConfig, cost: "_Cost") -> Iterator[RunConfig]:
    is_followed = config.policy_steps > 0
    for steps in range(config.policy_steps - 1, FEWEST_POLICY_STEPS - 1, -1):
        yield (config := replace(config, policy_steps=steps))
    while config.kl_probes > FEWEST_PROBES:
        yield (config := replace(config, kl_probes=max(FEWEST_PROBES, config.kl_probes // 2)))
    for epochs in range(config.epochs - 1, 0, -1):
        yield (config := replace(config, epochs=epochs))
    config = replace(config, policy_steps=0)
    if is_followed:
        step = max(1, config.policy_prompts // 4) * config.takes
        for texts in range(cost.largest_pool, SMALLEST_POOL - 1, -step):
            yield replace(config, pool_texts=texts)
    yield config
    for steps in range(cost.rated_steps(config) - 1, 0, -1):
        yield replace(config, max_rated_steps=steps)


def _left_out(wanted: RunConfig, planned: RunConfig, cost: "_Cost") -> Iterator[LeftOut]:
    names: tuple[Omission, ...] = ("policy_steps", "kl_probes", "judgements", "replay_texts", "bias_texts")
    before, after = asdict(wanted), asdict(planned)
    for what in names:
        if after[what] < before[what]:
            yield LeftOut(what, before[what], after[what])
    if wanted.policy_steps and not planned.policy_steps and not planned.pool_texts:
        yield LeftOut("pool", SMALLEST_POOL, 0)
    if (steps := cost.rated_steps(planned)) < cost.rated_steps(wanted):
        yield LeftOut("rated_steps", cost.rated_steps(wanted), steps)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds that the parts of a night take."""

    wanted: RunConfig
    speeds: Speeds
    work: Workload

    def around(self, config: RunConfig) -> float:
        """All but the training, and loading the model."""
        return self.reading(config) + self.judging(config)

    def reading(self, config: RunConfig) -> float:
        """References, and what the base answers."""
        return self._forward(self.work.examples * self.work.text_tokens) + self._version(config)

    def judging(self, config: RunConfig) -> float:
        """The champion, the candidate as often as it may be judged, its bias and what it has kept."""
        judged = self.work.examples / 4 * self.work.text_tokens
        once = self._version(config) + self._forward(judged + 2 * config.replay_texts * self.work.text_tokens)
        bias = 2 * self._writing(BIAS_PROMPTS * config.bias_texts, config)
        champion = self._version(config) if self.work.has_champion else 0.0
        return champion + config.judgements * once + bias + self._forward(_CANARY_TOKENS)

    def training(self, config: RunConfig) -> float:
        """Both stages."""
        work, checks = self.work, math.ceil(self.rated_steps(config) / _CHECK_STEPS) + _ROLLBACK_CHECKS
        rated = self.rated_steps(config) * self._rated_step(config) + checks * self._kl_check(config)
        size = config.policy_prompts * config.takes
        texts = size * work.text_tokens
        step = self._writing(size, config) + self._forward(texts) + self._backward(texts)
        step += self._writing(_POLICY_PROBES, config) / 2
        last = _ROLLBACK_CHECKS * self._kl_check(config)
        policy = config.policy_steps * step + last if config.policy_steps else 0.0
        best = config.pool_texts / config.takes * config.pool_epochs
        steps = math.ceil(best / 32)
        pool = self._writing(config.pool_texts, config) + self._backward(best * work.text_tokens)
        pool += math.ceil(steps / _CHECK_STEPS) * self._kl_check(config) + last
        return rated + policy + (pool if config.pool_texts else 0.0)

    def rated_steps(self, config: RunConfig) -> int:
        """Optimiser steps on the learner's part of the ratings."""
        return rated_steps(round(self.work.examples * 0.75), config)

    def step_tokens(self, config: RunConfig) -> float:
        """Tokens that have gradients in one step, at most."""
        return max(config.batch_size, 32) * self.work.text_tokens

    @property
    def largest_pool(self) -> int:
        """As many texts as the fewest on-policy steps would write, if there are prompts enough for them."""
        config = self.wanted
        return min(self.work.prompts, config.policy_prompts * FEWEST_POLICY_STEPS) * config.takes

    def _rated_step(self, config: RunConfig) -> float:
        tokens = step_size(round(self.work.examples * 0.75), config) * self.work.text_tokens
        anchors = tokens * config.anchor_share / (1.0 - config.anchor_share)
        return self._backward(tokens + anchors) + self._forward(anchors)

    def _kl_check(self, config: RunConfig) -> float:
        texts = config.kl_probes
        return self._writing(texts, config) + self._forward(2 * texts * self.work.text_tokens)

    def _version(self, config: RunConfig) -> float:
        """One version's replies, written and read."""
        written = self._writing(config.replay_texts, config) + self._writing(GOLDEN_TEXTS, config)
        return written + self._forward(config.replay_texts * self.work.text_tokens)

    def _writing(self, texts: int, config: RunConfig) -> float:
        work, speeds = self.work, self.speeds
        longest = work.prompt_tokens + work.longest_reply
        rows = max(1, min(MOST_ROWS, int(config.max_batch_tokens / longest)))
        written = texts * work.reply_tokens
        steps = max(written / rows, work.longest_reply)
        return written * speeds.row_seconds + steps * speeds.step_seconds + self._forward(texts * work.prompt_tokens)

    def _forward(self, tokens: float) -> float:
        return tokens / self.speeds.forward_tokens_per_second

    def _backward(self, tokens: float) -> float:
        return tokens / self.speeds.backward_tokens_per_second


def step_size(examples: int, config: RunConfig) -> int:
    """Examples an optimiser step: `batch_size`, but few enough that small datasets get eight steps an epoch."""
    return max(4, min(config.batch_size, examples // 8))


def rated_steps(examples: int, config: RunConfig) -> int:
    """Optimiser steps on so many rated texts."""
    steps = config.epochs * math.ceil(examples / step_size(examples, config))
    return min(steps, config.max_rated_steps or steps)
