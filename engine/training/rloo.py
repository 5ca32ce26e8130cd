"""The on-policy stage: the adapter writes, the taste head says what is liked, and the adapter moves towards that.

Policy gradient with a leave-one-out baseline (RLOO: Ahmadian et al. 2024, arXiv 2402.14740). Of the takes on a prompt,
with R the reward of each::

    A_i = R_i - mean of the other takes' R,    over the standard deviation of all A of the step
    loss = - mean_i A_i log pi_T(y_i | x) + beta KL(pi || base), exact over the vocabulary along each take

where pi_T is the policy at the sampling temperature. To the advantage of the chance of a like comes lambda times that
of a take's novelty: how rare its pairs of tokens are among the step's takes. The sum of a step's novelties is the
number of different pairs, so that this pulls at distinct-2 itself; without it a liked style soon says everything in one
way. Lambda rises while diversity is below `TARGET_DIVERSITY` of what it was, and falls while it is above (dual ascent).

Knows token ids, a reward and models. Knows nothing of ratings, run folders or of who judges the result.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModelForCausalLM
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.evaluation.sampling import Prompt, Replies
from engine.models import distributed
from engine.models.logprobs import Encoded, collate, completion_logits, completion_targets, micro_batches
from engine.runs.config import RunConfig
from engine.training.kto import (
    MAX_GRADIENT_NORM,
    Course,
    Curves,
    learning_rate_for,
    optimizer_for,
    require_finite_loss,
    trained_parameters,
    warmth,
)

LEARNING_RATE_FACTOR = 2.0
"""Times the rate for rated texts, at first; it falls to 0 as the KL or the diversity is used up."""
TARGET_DIVERSITY = 0.95
"""Of what it was at first, as a share."""
LEAST_DIVERSITY = 0.9
"""At this share of it the stage ends: the gate would refuse what comes after."""
PROBES = 64
"""Prompts whose answers tell the diversity: always the same, so that no change of subject is taken for one."""
_MARK_STEPS = 2
_LAMBDA_GAIN = 10.0
_LAMBDA_RANGE = (0.2, 3.0)


@dataclass(frozen=True, slots=True)
class Rewarding:
    """Where texts come from and what they are worth."""

    write: Callable[[Sequence[Prompt], int, int], Replies]
    """(prompts, count, seed) -> takes of the adapter as it is, evenly over the prompts."""
    liking: Callable[[Replies], Tensor]
    """The chance of a like of each take, (n,), float64; called while the adapter is off."""


def follow_taste(
    model: PeftModelForCausalLM,
    prompts: Sequence[Prompt],
    config: RunConfig,
    course: Course,
    rewarding: Rewarding,
    curves: Curves,
) -> None:
    """Train the active adapter until the steps, the time, the KL budget or the diversity are used up.

    Adds to the curves; the loss that it reports is the share that is not liked. It always ends within the budget.

    Raises:
        RunError: a loss or a reward is not a finite number.
    """
    rng = random.Random(config.seed)
    parameters = trained_parameters(model)
    rate = LEARNING_RATE_FACTOR * learning_rate_for(model, course.base, config)
    optimizer = optimizer_for(parameters, rate)
    probes = prompts[:PROBES]
    probed = course.base.family.diversity_texts or len(probes)
    balance = Balance(config.novelty_weight, rewarding.write(probes, probed, config.seed))
    for step in range(1, config.policy_steps + 1):
        chosen = rng.sample(prompts, min(config.policy_prompts, len(prompts)))
        takes = rewarding.write(chosen, len(chosen) * config.takes, config.seed + step * 1009)
        with torch.no_grad(), model.disable_adapter():
            liking = rewarding.liking(takes)
        require_finite_loss(float(liking.sum()))
        advantages = leave_one_out(liking, takes.owners) + balance.weigh(takes)
        kl = _backward(model, takes.rows, advantages.float(), config, course.base.pad_id)
        curves.liking.append(float(liking.mean()))
        curves.kl.append(kl)
        is_marked = step % _MARK_STEPS == 0
        if is_marked:
            balance.look(rewarding.write(probes, probed, config.seed))
        left = room_left(kl / course.kl_budget, balance.diversity)
        if left < 0.0:
            break
        if is_marked:
            course.trail.mark()
        distributed.sum_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        for group in optimizer.param_groups:
            group["lr"] = left * rate * warmth(step)
        optimizer.step()
        optimizer.zero_grad()
        course.report(step, 1.0 - curves.liking[-1])
        if distributed.by_first(lambda: time.monotonic() > course.deadline):
            break
    optimizer.zero_grad()
    curves.kl.append(course.measure_kl())
    if curves.kl[-1] > course.kl_budget:
        curves.kl.append(course.trail.land(course.measure_kl, course.kl_budget))


def room_left(kl_spent: float, diversity: float) -> float:
    """The share that is left of the KL budget, or of the diversity that may be given away, whichever is less."""
    return 1.0 - max(kl_spent, (1.0 - diversity) / (1.0 - LEAST_DIVERSITY))


def novelty(rows: Sequence[Encoded]) -> Tensor:
    """How rare each completion's pairs of neighbouring tokens are: the mean of 1 / their count among all rows, (n,)."""
    pairs = [Counter(itertools.pairwise(row.completion)) for row in rows]
    total: Counter[tuple[int, int]] = Counter()
    for own in pairs:
        total.update(own)
    shares = [sum(n / total[pair] for pair, n in own.items()) / max(1, own.total()) for own in pairs]
    return torch.tensor(shares, dtype=torch.float64)


def leave_one_out(rewards: Tensor, owners: Sequence[int]) -> Tensor:
    """Each reward less the mean of those with the same owner, over the deviation of all these differences, (n,).

    Who has no sibling gets 0, and so does everybody where all siblings are alike.
    """
    places = torch.tensor(owners)
    counts = torch.bincount(places).to(rewards.dtype)[places]
    sums = torch.zeros(int(places.max()) + 1, dtype=rewards.dtype).index_add(0, places, rewards)[places]
    differences = torch.where(counts > 1.0, rewards - (sums - rewards) / (counts - 1.0).clamp(min=1.0), 0.0)
    deviation = differences.std(correction=0)
    return differences / deviation if float(deviation) > 1e-9 else torch.zeros_like(differences)


class Balance:
    """How much novelty counts beside liking; `probes` are the adapter's answers to the same prompts, then and now."""

    def __init__(self, weight: float, probes: Replies) -> None:
        self._weight = weight
        self._first = float(novelty(probes.rows).mean())
        self.diversity = 1.0
        """The probes' novelty over that of the first."""

    def look(self, probes: Replies) -> None:
        """See how diverse the adapter is by now; what novelty counts changes with it."""
        self.diversity = float(novelty(probes.rows).mean()) / self._first if self._first else 1.0
        if self._weight:
            low, high = _LAMBDA_RANGE
            change = _LAMBDA_GAIN * (TARGET_DIVERSITY - self.diversity)
            self._weight = min(high, max(low, self._weight + change))

    def weigh(self, takes: Replies) -> Tensor:
        """The advantages of these takes by novelty, times what it counts at present."""
        return self._weight * leave_one_out(novelty(takes.rows), takes.owners)


def _backward(
    model: PeftModelForCausalLM, rows: Sequence[Encoded], advantages: Tensor, config: RunConfig, pad_id: int
) -> float:
    """Add the gradients of this process's share of the step's loss; returns the KL to the base, nats a text, of all."""
    distance = 0.0
    for group in distributed.share(list(micro_batches(rows, size=32, max_tokens=config.max_batch_tokens))):
        batch = collate([rows[i] for i in group], pad_id=pad_id, device=model.device)
        with torch.no_grad(), model.disable_adapter():
            base = F.log_softmax(completion_logits(model, batch)[0], dim=-1)  # (N, V)
        logits, owners = completion_logits(model, batch)
        policy = F.log_softmax(logits, dim=-1)
        kl = (policy.exp() * (policy - base)).sum()
        drawn = -F.cross_entropy(logits / config.temperature, completion_targets(batch), reduction="none")  # (N,)
        gain = (advantages[torch.tensor(group)].to(model.device)[owners] * drawn).sum()
        loss = (config.policy_kl_weight * kl - gain) / len(rows)
        require_finite_loss(loss.item())
        loss.backward()
        distance += kl.item() / len(rows)
    return float(distributed.total(torch.tensor(distance, dtype=torch.float64)))
