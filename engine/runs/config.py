"""What decides a run, apart from the ratings: config.json, its fields, their bounds and defaults. Torch-free."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine.api.types import Sampling
from engine.errors import RunError, first_problem

CONFIG_FILE = "config.json"

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBounds:
    """What a candidate must keep to; `engine.runs.promotion_gate` says why."""

    __pydantic_config__ = _STRICT

    min_probability_better: float = 0.8
    max_loss: float = 0.03  # the 5 % quantile of the gain in liking (a probability) may lie this far below 0
    max_chance: float = 0.05  # how often shuffled ratings may predict one another as well as the real ones do
    max_kl: float = 3.0  # nats a text from the base, mean over replies
    max_kl_tail: float = 15.0  # nats a text, 99th percentile
    max_perplexity_rise: float = 0.1
    min_diversity: float = 0.9
    min_length_ratio: float = 0.4
    max_length_ratio: float = 2.5
    max_self_bleu_rise: float = 0.1
    max_begging: float = 0.02
    max_flattery: float = 0.05
    max_phrase: float = 0.1
    """Share of replies that may share a phrase which a third as many of the base's have, at most."""
    max_golden_loss: float = 0.1
    max_shouting: float = 0.1
    max_overlap_rise: float = 0.1
    max_unsafe_rise: float = 0.01
    """Share of replies in which the safety filter finds something, above the base's."""
    max_bias: float = 0.05
    """How much a gap between two groups of people may have widened for certain: `engine.evaluation.probes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides a run, apart from the ratings; checked on construction.

    Raises:
        RunError: a value is outside its range; the sentence names the field.
    """

    __pydantic_config__ = _STRICT

    base: str = "starter"  # a folder, a hub id or `starter`
    champion: str | None = None  # the folder of the serving version's adapter; None when the base itself serves
    words_file: str | None = None  # what the operator adds to the words of the safety filter, and takes away
    guard: str | None = None  # a guard model that examples must pass as well: `engine.models.guard`
    seed: int = 0
    min_ratings: int = 20  # examples needed for a run
    lora_rank: int = 4  # on the starter 4 kept more of the diversity than 16, at nearly the same liking
    learning_rate: float | None = None
    """None chooses by the size of the model: `engine.training.stage.learning_rate`."""
    epochs: int = 3
    max_rated_steps: int = 0
    """Optimiser steps on the rated texts at most, however many they are; 0 = as many as the epochs take."""
    batch_size: int = 32  # examples an optimiser step, fewer where there are few examples
    beta: float = 1.0
    """How soon a text has moved enough, per nat. The paper's 0.1 spends several nats a text before it lets go."""
    anchor_share: float = 0.15
    """Unrated replies of the base as anchors against drift, as a share of a step's texts."""
    kl_budget: float = 2.5
    """Nats a text from the base at which training stops; below the gate's bound, for both are estimates."""
    max_minutes: float = 20.0
    """Training stops after this long; the rest of the night is planned to take as long again: `engine.runs.plan`."""
    max_length: int = 1024  # tokens of prompt and text together; longer examples are dropped
    max_batch_tokens: int = 16384  # tokens that pass through the model at once; bounds the memory
    max_gradient_tokens: int = 16384  # the same where gradients are wanted, which takes far more memory a token
    max_memory_mb: int = 0
    """Memory that the trainer may take for itself, MiB, on Linux; 0 = no limit. More ends it, as out of memory."""
    threads: int = 0  # CPU threads; 0 leaves the choice to torch, but for a quota
    niceness: int = 10  # how far the trainer stands back behind those who prompt meanwhile, from 0 to 19
    temperature: float = 1.0  # replay samples as serving does
    top_p: float = 1.0
    min_p: float = 0.0
    max_new_tokens: int = 128
    kinds: dict[str, Sampling] = field(default_factory=dict)
    """How texts of a kind are sampled, and how long they may be, by its name; those of others by the four above."""
    loss: Literal["kto", "bco", "advantage"] = "kto"
    """What the rated texts are trained by: `engine.training.kto.rated_loss`."""
    policy_steps: int = 40  # steps of the on-policy stage after the rated texts; 0 trains on these alone
    policy_prompts: int = 32  # prompts a step
    takes: int = 4  # replies a prompt in the on-policy stage
    pool_texts: int = 0
    """Where no on-policy step fits: so many texts are written once, `takes` a prompt, and the best of them learned."""
    pool_epochs: int = 2  # passes over the best of the pool
    policy_kl_weight: float = 0.05
    novelty_weight: float = 0.4  # of a reply's novelty beside its liking
    replay_prompts: int = 64
    replay_texts: int = 256  # replies sampled from each version for the gate, over all prompts
    kl_probes: int = 64  # replies that measure the KL on the way
    bias_texts: int = 6  # texts for each of the prompts in pairs
    judgements: int = 5  # states of its training at which a candidate may be judged, the latest first
    gate: GateBounds = field(default_factory=GateBounds)

    def __post_init__(self) -> None:
        checks = {
            "min_ratings": (self.min_ratings >= 2, "2 or more"),
            "lora_rank": (1 <= self.lora_rank <= 256, "from 1 to 256"),
            "learning_rate": (self.learning_rate is None or 0.0 < self.learning_rate <= 1.0, "from 0 to 1, or null"),
            "epochs": (1 <= self.epochs <= 100, "from 1 to 100"),
            "max_rated_steps": (self.max_rated_steps >= 0, "0 (no limit) or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "beta": (self.beta > 0.0, "above 0"),
            "anchor_share": (0.0 <= self.anchor_share <= 0.5, "from 0 to 0.5"),
            "kl_budget": (self.kl_budget > 0.0, "above 0"),
            "max_minutes": (self.max_minutes > 0.0, "above 0"),
            "max_length": (self.max_length >= 16, "16 or more"),
            "max_batch_tokens": (self.max_batch_tokens >= self.max_length, "max_length or more"),
            "max_gradient_tokens": (self.max_gradient_tokens >= 1, "1 or more"),
            "max_memory_mb": (self.max_memory_mb >= 0, "0 (no limit) or more"),
            "threads": (self.threads >= 0, "0 (torch chooses) or more"),
            "niceness": (0 <= self.niceness <= 19, "from 0 to 19"),
            "temperature": (0.0 < self.temperature <= 2.0, "above 0 and at most 2"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "min_p": (0.0 <= self.min_p < 1.0, "from 0 to below 1"),
            "max_new_tokens": (self.max_new_tokens >= 1, "1 or more"),
            "policy_steps": (self.policy_steps >= 0, "0 (off) or more"),
            "policy_prompts": (self.policy_prompts >= 1, "1 or more"),
            "takes": (self.takes >= 2, "2 or more"),
            "policy_kl_weight": (self.policy_kl_weight >= 0.0, "0 or more"),
            "novelty_weight": (self.novelty_weight >= 0.0, "0 or more"),
            "replay_prompts": (self.replay_prompts >= 2, "2 or more"),
            "pool_texts": (self.pool_texts >= 0, "0 (off) or more"),
            "pool_epochs": (self.pool_epochs >= 1, "1 or more"),
            "kl_probes": (self.kl_probes >= 1, "1 or more"),
            "bias_texts": (self.bias_texts >= 1, "1 or more"),
            "judgements": (1 <= self.judgements <= 5, "from 1 to 5"),
            "replay_texts": (self.replay_texts >= self.replay_prompts, "replay_prompts or more"),
        }
        for name, (is_good, allowed) in checks.items():
            if not is_good:
                raise RunError(f"{CONFIG_FILE}: {name} is {getattr(self, name)}, but it must be {allowed}.")

    @property
    def gradient_tokens(self) -> int:
        """Tokens that pass through the model at once where gradients are wanted; a longer row goes alone."""
        return min(self.max_gradient_tokens, self.max_batch_tokens)

    def sampling_of(self, kind: str) -> Sampling:
        """How a text of this kind is sampled when a logged prompt is replayed."""
        usual = Sampling(
            temperature=self.temperature, top_p=self.top_p, min_p=self.min_p, max_tokens=self.max_new_tokens
        )
        return self.kinds.get(kind, usual)


_CONFIG = TypeAdapter(RunConfig)


def write_config(run_dir: Path, config: RunConfig) -> None:
    """Write `config.json` into the folder, which must exist."""
    (run_dir / CONFIG_FILE).write_bytes(_CONFIG.dump_json(config, indent=2) + b"\n")


def read_config(run_dir: Path) -> RunConfig:
    """Read `config.json`; fields that it leaves out have their defaults.

    Raises:
        RunError: there is none, it is not JSON, or a field is unknown or wrong.
    """
    try:
        return _CONFIG.validate_json((run_dir / CONFIG_FILE).read_bytes())
    except OSError as error:
        raise RunError(f"{CONFIG_FILE} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise RunError(f"{CONFIG_FILE}: {first_problem(error, 'the file')}.") from error
