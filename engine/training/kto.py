"""The optimiser's loop: a fresh adapter on the base, fitted to weighted texts within a budget of KL and of time.

Knows token ids, weights and models. Knows nothing of ratings, run folders or judging.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from peft import LoraConfig, PeftModelForCausalLM, get_peft_model
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.pytorch_utils import Conv1D

from engine.errors import RunError
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import (
    CausalModel,
    Encoded,
    collate,
    completion_logits,
    log_probs,
    micro_batches,
)
from engine.runs.config import RunConfig
from engine.training.checkpoints import Trail

WARM_UP_STEPS = 3
ADAM_EPSILON = 1e-5
"""At Adam's usual 1e-8 a weight whose gradient is mere rounding moves as far as any other: two processes in place of
one then gave adapters up to 3e-5 apart, on some CPUs; now 1.3e-6."""
MAX_GRADIENT_NORM = 1.0
ANCHOR_WEIGHT = 0.05
"""Of the anchors' loss, a token's mean, beside the KTO loss; at 1 nothing was learned at all."""
CHECK_STEPS = 6
"""Steps between two measurements of the KL."""
_LOCAL_STEPS = 8
"""Batches are formed by length within windows of this many, so that an epoch still mixes."""


@dataclass(slots=True)
class Curves:
    """What the report plots."""

    loss: list[float] = field(default_factory=list)
    """Per optimiser step."""
    kl: list[float] = field(default_factory=list)
    """Nats a text, at each measurement."""
    liking: list[float] = field(default_factory=list)
    """The mean chance of a like of the takes of each on-policy step, by the head that the adapter follows."""


@dataclass(frozen=True, slots=True)
class Course:
    """What both stages of training share with those around them."""

    base: Base
    deadline: float
    """When the time is used up, by `time.monotonic`."""
    trail: Trail
    """Begun with the adapter as it is; gets marks on the way."""
    kl_budget: float
    """Nats a text from the base at which the stage ends."""
    measure_kl: Callable[[], float]
    """The model's present distance from the base, nats a text."""
    report: Callable[[int, float], None]
    """Called after each step with the steps done and the loss."""

    def goes_on(self, step: int, steps: int, loss: float, curves: Curves) -> bool:
        """Write a finished step down and look at the budgets now and then; whether there may be another step.

        What has gone beyond the KL budget is moved back within it.
        """
        curves.loss.append(loss)
        self.report(step, loss)
        is_last = step == steps or distributed.by_first(lambda: time.monotonic() > self.deadline)
        if is_last or step % CHECK_STEPS == 0:
            curves.kl.append(self.measure_kl())
            if not curves.kl[-1] <= self.kl_budget:
                curves.kl.append(self.trail.land(self.measure_kl, self.kl_budget))
                return False
            self.trail.mark()
        return not is_last


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Everything a pass over the ratings needs, all in one order."""

    rows: tuple[Encoded, ...]
    signed_weights: Tensor
    """(n,), from `balanced_weights`."""
    references: Tensor
    """(n,), log-probabilities under the base, nats."""
    anchors: tuple[Encoded, ...]
    """The base's own replies."""


def learning_rate_for(model: PeftModelForCausalLM, base: Base, config: RunConfig) -> float:
    """The adapter's learning rate: the run's, or that of the model's family, or one by the size of the model.

    On 1.4 M parameters 1e-3 gave twice the liking per nat of KL that 3e-3 gave. From there it falls by the power that
    reaches 1e-4, usual for LoRA, at 1 B: 1.2e-4 at 0.6 B, 5e-5 at 7 B. The KL budget catches what is still too fast.
    """
    if rate := config.learning_rate or base.family.learning_rate:
        return rate
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return 1e-3 * math.pow(min(1.0, 2e6 / max(1, parameters)), 0.37)


def optimizer_for(parameters: Sequence[Tensor], rate: float) -> torch.optim.Optimizer:
    """AdamW as both stages have it."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), eps=ADAM_EPSILON, weight_decay=0.0)


def warmth(step: int) -> float:
    """The share of the learning rate that step 1, 2, … has: a short linear rise to 1."""
    return min(1.0, step / WARM_UP_STEPS)


def add_adapter(base: Base, config: RunConfig) -> PeftModelForCausalLM:
    """A fresh LoRA adapter on every linear layer except the output's; the seed decides its first weights."""
    torch.manual_seed(config.seed)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=config.base,
        r=config.lora_rank,
        lora_alpha=config.lora_rank,
        target_modules=base.family.adapter_layers,
        # GPT-2 keeps its weights transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.model.modules()),
    )
    peft_model = get_peft_model(base.model, settings)
    assert isinstance(peft_model, PeftModelForCausalLM), "a causal model gets a causal adapter"
    return peft_model.eval()  # no dropout: the cached references have none


def trained_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The active adapter's weights."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def reference_log_probs(model: CausalModel, base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """log p(completion | prompt) of every row under the model as it is, (n,), nats."""
    results = torch.zeros(len(rows))
    with torch.no_grad():
        for group in distributed.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
            batch = collate([rows[i] for i in group], pad_id=base.pad_id, device=base.model.device)
            results[torch.tensor(group)] = log_probs(model, batch).cpu()
    return distributed.total(results)


def require_finite_loss(loss: float) -> None:
    """Raises RunError if a loss is not a finite number."""
    if not math.isfinite(loss):
        raise RunError("The loss is not a finite number: lower learning_rate in config.json and run again.")


def fit_adapter(model: PeftModelForCausalLM, data: TrainingSet, config: RunConfig, course: Course) -> Curves:
    """Fit the adapter until the epochs, the time or the KL budget are used up; it always ends within the budget.

    Raises:
        RunError: the loss is not a finite number.
    """
    rng = random.Random(config.seed)
    size = step_size(len(data.rows), config)
    steps = rated_steps(len(data.rows), config)
    parameters = trained_parameters(model)
    optimizer = optimizer_for(parameters, learning_rate_for(model, course.base, config))
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: warmth(done + 1))
    curves = Curves()
    for step, chosen in enumerate(_batches(data.rows, size, config.epochs, rng), start=1):
        anchors = _anchors_for(data.anchors, len(chosen), config, rng)
        loss = _backward(model, data, chosen, anchors, config, course.base.pad_id)
        require_finite_loss(loss)
        distributed.sum_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        warm_up.step()
        optimizer.zero_grad()
        if not course.goes_on(step, steps, loss, curves):
            break
    return curves


def step_size(examples: int, config: RunConfig) -> int:
    """Examples an optimiser step: `batch_size`, but few enough that small datasets get eight steps an epoch."""
    return max(4, min(config.batch_size, examples // 8))


def rated_steps(examples: int, config: RunConfig) -> int:
    """Optimiser steps on so many rated texts."""
    steps = config.epochs * math.ceil(examples / step_size(examples, config))
    return min(steps, config.max_rated_steps or steps)


def _batches(rows: Sequence[Encoded], size: int, epochs: int, rng: random.Random) -> Iterator[list[int]]:
    """All row numbers, epoch after epoch, in batches of like length and random order."""
    for _ in range(epochs):
        order = list(range(len(rows)))
        rng.shuffle(order)
        window = size * _LOCAL_STEPS
        batches = []
        for start in range(0, len(order), window):
            local = sorted(order[start : start + window], key=lambda i: len(rows[i]))
            batches += [local[i : i + size] for i in range(0, len(local), size)]
        rng.shuffle(batches)
        yield from batches


def _anchors_for(anchors: Sequence[Encoded], count: int, config: RunConfig, rng: random.Random) -> list[Encoded]:
    """As many anchors as make up `anchor_share` of the step's texts."""
    wanted = round(count * config.anchor_share / (1.0 - config.anchor_share))
    return rng.sample(anchors, min(wanted, len(anchors)))


def _backward(
    model: PeftModelForCausalLM,
    data: TrainingSet,
    chosen: Sequence[int],
    anchors: Sequence[Encoded],
    config: RunConfig,
    pad_id: int,
) -> float:
    """Add the gradients of this process's share of a step's loss, in pieces that fit the token budget.

    Every piece is divided among the processes row by row, so that the pieces are the same for any number of them.
    Returns the loss of the whole step.
    """
    total = 0.0
    for group in micro_batches([data.rows[i] for i in chosen], size=len(chosen), max_tokens=config.max_batch_tokens):
        loss = _rated_loss(model, data, torch.tensor([chosen[i] for i in group]), config, pad_id) / len(chosen)
        loss.backward()
        total += loss.item()
    for group in micro_batches(anchors, size=len(anchors), max_tokens=config.max_batch_tokens):
        rows = [anchors[i] for i in group]
        loss = ANCHOR_WEIGHT * _anchor_loss(model, rows, pad_id) * (len(rows) / len(anchors))
        loss.backward()
        total += loss.item()
    return float(distributed.total(torch.tensor(total, dtype=torch.float64)))


def _rated_loss(
    model: PeftModelForCausalLM, data: TrainingSet, piece: Tensor, config: RunConfig, pad_id: int
) -> Tensor:
    """This process's share of the rated texts' loss, summed over the rows whose numbers the piece holds."""
    places = torch.tensor(distributed.share(range(len(piece))), dtype=torch.long)
    mine = piece[places]
    ratios = torch.zeros(0, device=model.device, requires_grad=True)  # a small piece may leave this process nothing
    if len(mine):
        batch = collate([data.rows[i] for i in mine.tolist()], pad_id=pad_id, device=model.device)
        ratios = log_probs(model, batch) - data.references[mine].to(model.device)
    everybodys = ratios.new_zeros(len(piece)).index_copy(0, places.to(model.device), ratios.detach())
    weights = data.signed_weights[mine].to(model.device)
    return rated_loss(ratios, weights, everybodys=distributed.total(everybodys), config=config).sum()


def _anchor_loss(model: PeftModelForCausalLM, rows: Sequence[Encoded], pad_id: int) -> Tensor:
    """This process's share of KL(base || policy) on the base's own texts, nats a token of all rows.

    In expectation this is the plain likelihood of those texts up to a constant, without the noise of which token the
    base happened to draw; its gradient is 0 where training starts.
    """
    mine, tokens = distributed.share(rows), sum(len(row.completion) for row in rows)
    if not mine:
        return torch.zeros((), device=model.device, requires_grad=True)
    batch = collate(mine, pad_id=pad_id, device=model.device)
    with torch.no_grad(), model.disable_adapter():
        base = F.log_softmax(completion_logits(model, batch)[0], dim=-1)
    policy = F.log_softmax(completion_logits(model, batch)[0], dim=-1)
    return F.kl_div(policy, base, reduction="sum", log_target=True) / tokens


def kl_baseline(log_ratios: Tensor) -> Tensor:
    """KTO's reference point z0 = max(0, mean of log pi(y|x) - log pi_ref(y|x)), without gradient; a scalar.

    The paper (arXiv 2402.01306) takes the mean over mismatched pairs of prompt and text, at the price of
    two more forward passes; here it is the mean over the batch itself, as a trial found no loss by it.
    """
    return log_ratios.detach().mean().clamp(min=0.0)


def kto_loss(log_ratios: Tensor, signed_weights: Tensor, *, z0: Tensor, beta: float) -> Tensor:
    """The KTO loss of each row, (B,), with graded weights (L_KTO of arXiv 2402.01306).

    With r = log pi(y|x) - log pi_ref(y|x), sigma the logistic function and w the row's signed weight::

        w > 0 (liked):      w  (1 - sigma(beta (r - z0)))
        w < 0 (disliked):  |w| (1 - sigma(beta (z0 - r)))

    With w = lambda_D for every liked and -lambda_U for every disliked row this is the paper's loss.

    Args:
        log_ratios: r, (B,), nats.
        signed_weights: from `balanced_weights`, (B,).
        z0: scalar, from `kl_baseline`.
        beta: how little the policy may move; 0.1 in the paper.
    """
    advantage = beta * (log_ratios - z0) * signed_weights.sign()
    return signed_weights.abs() * (1.0 - torch.sigmoid(advantage))


def bco_loss(log_ratios: Tensor, signed_weights: Tensor, *, shift: Tensor, beta: float) -> Tensor:
    """Binary classifier optimisation, each row's, (B,): -|w| log sigma(+-beta (r - shift)), + for a like.

    Jung et al. 2024 (arXiv 2404.04656, equation 11), with the mean of the batch's r as the shift of the reward.
    """
    return -signed_weights.abs() * F.logsigmoid(beta * (log_ratios - shift) * signed_weights.sign())


def advantage_loss(log_ratios: Tensor, signed_weights: Tensor) -> Tensor:
    """Advantage-weighted regression, each row's, (B,): -exp(w) log pi(y|x) up to a constant.

    Peng et al. 2019 (arXiv 1910.00177, equation 4) with the signed weight as the advantage and temperature 1.
    """
    return -signed_weights.exp() * log_ratios


def rated_loss(log_ratios: Tensor, signed_weights: Tensor, *, everybodys: Tensor, config: RunConfig) -> Tensor:
    """The loss of each row, (B,), by `config.loss`; `everybodys` are the log-ratios of the whole piece, detached."""
    match config.loss:
        case "kto":
            return kto_loss(log_ratios, signed_weights, z0=kl_baseline(everybodys), beta=config.beta)
        case "bco":
            return bco_loss(log_ratios, signed_weights, shift=everybodys.mean(), beta=config.beta)
        case "advantage":
            return advantage_loss(log_ratios, signed_weights)


def balanced_weights(values: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Signed weights value x weight, balanced between likes and dislikes, of mean size 1.

    The paper's rule is lambda_D n_D / (lambda_U n_U) in [1, 4/3]; with graded weights the sums of |value| x weight
    stand for the counts n. A ratio already inside is left alone, otherwise likes are scaled to the nearer end.

    Args:
        values: in [-1, 1], at least one on each side of 0.
        weights: positive.
    """
    signed = [value * weight for value, weight in zip(values, weights, strict=True)]
    likes = sum(x for x in signed if x > 0.0)
    dislikes = -sum(x for x in signed if x < 0.0)
    ratio = likes / dislikes
    scale = min(max(ratio, 1.0), 4.0 / 3.0) / ratio
    balanced = [x * scale if x > 0.0 else x for x in signed]
    mean = sum(abs(x) for x in balanced) / len(balanced)
    return tuple(x / mean for x in balanced)
