"""The on-policy stage: the adapter writes, the learner says what is liked, and the adapter moves towards that.

Policy gradient with a leave-one-out baseline (RLOO: Ahmadian et al. 2024, arXiv 2402.14740). Of the replies to a
prompt, with R the reward of each::

    A_i = R_i - mean of the other replies' R,    over the standard deviation of all A of the step
    loss = - mean_i A_i log pi_T(y_i | x) + beta KL(pi || base), exact over the vocabulary along each reply

where pi_T is the policy at the sampling temperature. To the advantage of the chance of a like comes lambda times that
of a reply's novelty: how rare its pairs of tokens are among the step's replies. The sum of a step's novelties is the
number of different pairs, so that this pulls at distinct-2 itself; without it a liked style soon says everything in one
way. Lambda rises while diversity is below `TARGET_DIVERSITY` of what it was, and falls while it is above (dual ascent).
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.evaluation.sampling import Replies
from engine.models import distributed
from engine.models.logprobs import Encoded, Predictions, shared_batches
from engine.training.stage import AdapterOptimizer, TrainingStage, learning_rate, require_finite

LEARNING_RATE_FACTOR = 2.0
"""Times the rate for rated texts, at first; it falls to 0 as the KL or the diversity is used up."""
TARGET_DIVERSITY = 0.95  # of what it was at first, as a share
LEAST_DIVERSITY = 0.9  # at this share of it the stage ends: the gate would refuse what comes after
PROBES = 64
"""Prompts whose answers tell the diversity: always the same, so that no change of subject is taken for one."""
_CHECKPOINT_STEPS = 2
_LAMBDA_GAIN = 10.0
_LAMBDA_RANGE = (0.2, 3.0)


def train_on_policy(stage: TrainingStage) -> None:
    """Train the active adapter until the steps, the time, the KL budget or the diversity are used up.

    The loss that it reports is the share that is not liked. It always ends within the budget.

    Raises:
        RunError: a loss or a reward is not a finite number.
    """
    config, rng = stage.config, random.Random(stage.config.seed)
    optimizer = AdapterOptimizer(stage.model, LEARNING_RATE_FACTOR * learning_rate(stage))
    probes = stage.prompts[:PROBES]
    probe_texts = stage.base.family.diversity_texts or len(probes)
    diversity = DiversityControl(config.novelty_weight, stage.sample(probes, probe_texts, config.seed))
    for step in range(1, config.policy_steps + 1):
        chosen = rng.sample(stage.prompts, min(config.policy_prompts, len(stage.prompts)))
        replies = stage.sample(chosen, len(chosen) * config.takes, config.seed + step * 1009)
        with torch.no_grad(), stage.model.disable_adapter():
            liking = stage.liking(replies)
        require_finite(float(liking.sum()))
        advantages = leave_one_out(liking, replies.owners) + diversity.advantages(replies)
        kl = _backward(stage, replies, advantages.float())
        stage.curves.liking.append(float(liking.mean()))
        stage.curves.kl.append(kl)
        is_checkpoint = step % _CHECKPOINT_STEPS == 0
        if is_checkpoint:
            diversity.update(stage.sample(probes, probe_texts, config.seed))
        left = budget_left(kl / stage.kl_budget, diversity.share)
        if left < 0.0:
            break
        if is_checkpoint:
            stage.checkpoints.save()
        optimizer.step(left)
        stage.report(step, 1.0 - stage.curves.liking[-1])
        if stage.is_late():
            break
    stage.model.zero_grad()
    stage.enforce_kl_budget()


def budget_left(kl_spent: float, diversity: float) -> float:
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
    """Each reward less the mean of the others with the same owner, over the deviation of all these differences, (n,).

    An owner's only reply gets 0, and so does everybody where all replies of an owner are alike.
    """
    places = torch.tensor(owners)
    counts = torch.bincount(places).to(rewards.dtype)[places]
    sums = torch.zeros(int(places.max()) + 1, dtype=rewards.dtype).index_add(0, places, rewards)[places]
    differences = torch.where(counts > 1.0, rewards - (sums - rewards) / (counts - 1.0).clamp(min=1.0), 0.0)
    deviation = differences.std(correction=0)
    return differences / deviation if float(deviation) > 1e-9 else torch.zeros_like(differences)


class DiversityControl:
    """How much novelty counts beside liking; `probes` are the adapter's answers to the same prompts, then and now."""

    def __init__(self, weight: float, probes: Replies) -> None:
        self._weight = weight
        self._first = float(novelty(probes.rows).mean())
        self.share = 1.0  # the probes' novelty over that of the first

    def update(self, probes: Replies) -> None:
        """Measure how diverse the adapter is by now; what novelty counts changes with it."""
        self.share = float(novelty(probes.rows).mean()) / self._first if self._first else 1.0
        if self._weight:
            low, high = _LAMBDA_RANGE
            change = _LAMBDA_GAIN * (TARGET_DIVERSITY - self.share)
            self._weight = min(high, max(low, self._weight + change))

    def advantages(self, replies: Replies) -> Tensor:
        """The advantages of these replies by novelty, times what it counts at present."""
        return self._weight * leave_one_out(novelty(replies.rows), replies.owners)


def _backward(stage: TrainingStage, replies: Replies, advantages: Tensor) -> float:
    """Add the gradients of this process's share of the step's loss; returns the KL to the base, nats a text, of all."""
    config, rows, distance = stage.config, replies.rows, 0.0
    temperatures = torch.tensor([config.sampling_of(replies.prompts[i].kind).temperature for i in replies.owners])
    for group, batch in shared_batches(stage.base, rows, max_tokens=config.gradient_tokens, size=32):
        with torch.no_grad(), stage.model.disable_adapter():
            base = Predictions(stage.model, batch)
        policy = Predictions(stage.model, batch)
        kl = policy.kl_divergence(base).sum()
        warmth, gains = (each[group].to(policy.rows.device)[policy.rows] for each in (temperatures, advantages))  # (N,)
        gain = (gains * policy.log_probs(warmth[:, None])).sum()
        loss = (config.policy_kl_weight * kl - gain) / len(rows)
        require_finite(loss.item())
        loss.backward()
        distance += kl.item() / len(rows)
    return float(distributed.total(torch.tensor(distance, dtype=torch.float64)))
