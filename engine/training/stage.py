"""What every objective trains with: a fresh adapter, its optimiser, its checkpoints, and a budget of KL and of time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from peft import LoraConfig, PeftModelForCausalLM, get_peft_model
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from engine.api.conversions import source_of
from engine.errors import RunError
from engine.evaluation.sampling import Prompt, Replies
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import Encoded
from engine.runs.config import RunConfig

CHECK_STEPS = 6  # steps between two measurements of the KL
ADAM_EPSILON = 1e-5
"""At Adam's usual 1e-8 a weight whose gradient is mere rounding moves as far as any other: two processes in place of
one then gave adapters up to 3e-5 apart, on some CPUs; now 1.3e-6."""
MAX_GRADIENT_NORM = 1.0
WARM_UP_STEPS = 3
_MOST_CHECKPOINTS = 24


@dataclass(slots=True)
class Curves:
    """What the report plots."""

    loss: list[float] = field(default_factory=list)  # per optimiser step
    liking: list[float] = field(default_factory=list)
    """The mean chance of a like of the replies of each on-policy step, by the head that the adapter follows."""
    kl: list[float] = field(default_factory=list)  # nats a text, at each measurement


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Everything a pass over the ratings needs, all in one order."""

    rows: tuple[Encoded, ...]
    signed_weights: Tensor  # (n,), from `engine.training.kto.balanced_weights`
    references: Tensor  # (n,), log-probabilities under the base, nats
    anchors: tuple[Encoded, ...]  # the base's own replies


class Checkpoints:
    """Copies of the weights along the way, the first where training starts; every other goes when there are many."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._saved = [(0, _copies(parameters))]
        self._count = 0

    def save(self) -> None:
        """Keep the present weights, which are within the budget."""
        if len(self._saved) == _MOST_CHECKPOINTS:
            self._saved = self._saved[::2]
        self._count += 1
        self._saved.append((self._count, _copies(self._parameters)))

    def restore(self, share: float) -> None:
        """Go to the checkpoint nearest to this share of the training so far; 0 is the start, 1 the last one."""
        _, there = min(self._saved, key=lambda saved: abs(saved[0] - share * self._count))
        self._interpolate(there, there, 0.0)

    def rollback_to_budget(self, measure_kl: Callable[[], float], budget: float) -> float:
        """Move back until the budget is kept again, to a checkpoint and by halving towards the next; returns its KL.

        Checkpoints beyond the budget are dropped: they kept it by the measure of the time, and do not by this one.
        """
        outside = _copies(self._parameters)
        while True:
            self._count, inside = self._saved[-1]
            self._interpolate(inside, inside, 0.0)
            reached = measure_kl()
            if reached <= budget or len(self._saved) == 1:
                break
            outside = self._saved.pop()[1]
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


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """One stage of training as its objective sees it. Of several stages only budget and report differ."""

    base: Base
    model: PeftModelForCausalLM  # with a fresh adapter, or that of the stage before
    config: RunConfig
    prompts: Sequence[Prompt]
    sample: Callable[[Sequence[Prompt], int, int], Replies]
    """(prompts, count, seed) -> replies of the adapter as it is, evenly over the prompts."""
    liking: Callable[[Replies], Tensor]
    """The chance of a like of each reply, (n,), float64; called while the adapter is off."""
    checkpoints: Checkpoints
    deadline: float  # when the time is used up, by `time.monotonic`
    measure_kl: Callable[[], float]  # the model's present distance from the base, nats a text
    kl_budget: float  # nats a text from the base at which the stage ends
    report: Callable[[int, float], None]  # called after each step with the steps done and the loss
    curves: Curves

    def record_step(self, step: int, steps: int, loss: float) -> bool:
        """Note a finished step and look at the budgets now and then; whether there may be another step."""
        self.curves.loss.append(loss)
        self.report(step, loss)
        is_last = step == steps or self.is_late()
        if is_last or step % CHECK_STEPS == 0:
            if not self.enforce_kl_budget():
                return False
            self.checkpoints.save()
        return not is_last

    def is_late(self) -> bool:
        """Whether the time is used up, by the first process's clock."""
        return distributed.by_first(lambda: time.monotonic() > self.deadline)

    def enforce_kl_budget(self) -> bool:
        """Measure the KL; weights beyond the budget are moved back within it. Whether they kept it."""
        self.curves.kl.append(self.measure_kl())
        if self.curves.kl[-1] <= self.kl_budget:
            return True
        self.curves.kl.append(self.checkpoints.rollback_to_budget(self.measure_kl, self.kl_budget))
        return False


Objective = Callable[[TrainingStage, TrainingSet], None]
"""Fits the adapter to rated texts until the steps, the time or the KL budget are used up, and ends within the budget.

Raises RunError when a loss is not a finite number."""


def add_adapter(base: Base, config: RunConfig) -> PeftModelForCausalLM:
    """A fresh LoRA adapter on every linear layer except the output's; the seed decides its first weights."""
    torch.manual_seed(config.seed)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=source_of(config.base),  # of a converted model, what MODEL said
        r=config.lora_rank,
        lora_alpha=config.lora_rank,
        target_modules=base.family.adapter_layers,
        # GPT-2 keeps its weights transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.model.modules()),
    )
    model = get_peft_model(base.model, settings)
    assert isinstance(model, PeftModelForCausalLM), "a causal model gets a causal adapter"
    return model.eval()  # no dropout: the cached references have none


def trained_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The active adapter's weights."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def learning_rate(stage: TrainingStage) -> float:
    """The run's learning rate, or that of the model's family, or one by the size of the model.

    On 1.4 M parameters 1e-3 gave twice the liking per nat of KL that 3e-3 gave. From there it falls by the power that
    reaches 1e-4, usual for LoRA, at 1 B: 1.2e-4 at 0.6 B, 5e-5 at 7 B. The KL budget catches what is still too fast.
    """
    if rate := stage.config.learning_rate or stage.base.family.learning_rate:
        return rate
    parameters = sum(parameter.numel() for parameter in stage.model.parameters())
    return 1e-3 * math.pow(min(1.0, 2e6 / max(1, parameters)), 0.37)


def adam_w(parameters: Sequence[Tensor], rate: float) -> torch.optim.AdamW:
    """The optimiser of every stage."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), eps=ADAM_EPSILON, weight_decay=0.0)


class AdapterOptimizer:
    """Trains the active adapter, in all processes alike; at first its rate rises linearly."""

    def __init__(self, model: PeftModelForCausalLM, rate: float, *, warm_up_steps: int = WARM_UP_STEPS) -> None:
        self._parameters = trained_parameters(model)
        self._adam, self._rate = adam_w(self._parameters, rate), rate
        self._warm_up_steps, self._steps = warm_up_steps, 0

    def step(self, share: float = 1.0) -> None:
        """Follow everybody's gradients at this share of the learning rate, and clear them."""
        self._steps += 1
        distributed.sum_gradients(self._parameters)
        torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        for group in self._adam.param_groups:
            group["lr"] = share * self._rate * min(1.0, self._steps / self._warm_up_steps)
        self._adam.step()
        self._adam.zero_grad()


def require_finite(loss: float) -> None:
    """Raises RunError if a loss is not a finite number."""
    if not math.isfinite(loss):
        raise RunError("The loss is not a finite number: lower learning_rate in config.json and run again.")
