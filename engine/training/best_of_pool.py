"""The second stage where on-policy steps do not fit: many texts are written once, and the best of them are learned.

Rejection-sampling fine-tuning (RAFT: Dong et al. 2023, arXiv 2304.06767; Llama 2's first RLHF rounds, arXiv
2307.09288, section 3.2.3): each prompt is answered several times, the learner says which take is liked best, and the
adapter is fitted to its likelihood, beside the base's own texts as anchors. What is written is written once, and only
one take in several has a gradient, so that a text costs about a third of what it costs on-policy; docs/lab-notes.md
has what that comes to at equal time.
"""

import random

import torch
from torch import Tensor

from engine.evaluation.sampling import Replies
from engine.models import distributed
from engine.models.logprobs import log_probs, shared_batches
from engine.training.rloo import novelty
from engine.training.stage import AdapterOptimizer, TrainingStage, learning_rate, require_finite

LEARNING_RATE_FACTOR = 8.0
"""Times the rate for rated texts; it falls to 0 over the steps. At 2 a pool moved next to nothing in so few steps; the
KL budget catches what is too fast for a model."""
TEXTS_A_STEP = 32


def train_on_best(stage: TrainingStage) -> None:
    """Train the active adapter on the best takes of `config.pool_texts` of its own.

    Ends when they are used up, or the time or the KL budget, and always within the budget.

    Raises:
        RunError: a loss or a reward is not a finite number.
    """
    config, rng = stage.config, random.Random(stage.config.seed)
    prompts = stage.prompts[: max(1, config.pool_texts // config.takes)]
    replies = stage.sample(prompts, config.pool_texts, config.seed + 1009)
    with torch.no_grad(), stage.model.disable_adapter():
        liking = stage.liking(replies)
    require_finite(float(liking.sum()))
    stage.curves.liking.append(float(liking.mean()))
    best = best_takes(replies, liking, config.novelty_weight)
    optimizer = AdapterOptimizer(stage.model, LEARNING_RATE_FACTOR * learning_rate(stage))
    passes = [rng.sample(best, len(best)) for _ in range(config.pool_epochs)]
    batches = [each[i : i + TEXTS_A_STEP] for each in passes for i in range(0, len(each), TEXTS_A_STEP)]
    for step, chosen in enumerate(batches, start=1):
        loss = _backward(stage, replies, chosen)
        require_finite(loss)
        optimizer.step(1.0 - (step - 1) / len(batches))
        if not stage.record_step(step, len(batches), loss):
            break


def best_takes(replies: Replies, liking: Tensor, novelty_weight: float) -> list[int]:
    """The place of each prompt's best reply, by its liking and how new it is beside the others, both standardised."""
    new = novelty(replies.rows)
    score = _standardised(liking.double()) + novelty_weight * _standardised(new)
    best: dict[int, int] = {}
    for place, owner in enumerate(replies.owners):
        if owner not in best or score[place] > score[best[owner]]:
            best[owner] = place
    return list(best.values())


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0).clamp(min=1e-9)


def _backward(stage: TrainingStage, replies: Replies, chosen: list[int]) -> float:
    """Add the gradients of this process's share of the mean negative log-likelihood of a text; returns the loss."""
    rows, total = [replies.rows[i] for i in chosen], 0.0
    for _, batch in shared_batches(stage.base, rows, max_tokens=stage.config.gradient_tokens):
        loss = -log_probs(stage.model, batch).sum() / len(rows)
        loss.backward()
        total += loss.item()
    return float(distributed.total(torch.tensor(total, dtype=torch.float64)))
