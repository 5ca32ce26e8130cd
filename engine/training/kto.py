"""The first stage: the adapter is fitted to rated texts, by KTO with graded weights or another loss on the same ratio.

With r = log pi(y|x) - log pi_ref(y|x) in nats, w the text's signed weight and sigma the logistic function. All losses
are those of each row, (B,), from `log_ratios` r and `signed_weights` w, both (B,).
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.models import distributed
from engine.models.logprobs import Encoded, Predictions, collate, log_probs, micro_batches
from engine.runs.config import RunConfig
from engine.runs.plan import rated_steps, step_size
from engine.training.stage import AdapterOptimizer, TrainingSet, TrainingStage, learning_rate, require_finite

ANCHOR_WEIGHT = 0.05
"""Of the anchors' loss, a token's mean, beside the KTO loss; at 1 nothing was learned at all."""
_LOCAL_STEPS = 8  # batches are formed by length within windows of this many, so that an epoch still mixes


def kto_loss(log_ratios: Tensor, signed_weights: Tensor, *, z0: Tensor, beta: float) -> Tensor:
    """KTO with graded weights (L_KTO of arXiv 2402.01306)::

        w > 0 (liked):      w  (1 - sigma(beta (r - z0)))
        w < 0 (disliked):  |w| (1 - sigma(beta (z0 - r)))

    With w = lambda_D for every liked and -lambda_U for every disliked row this is the paper's loss. `beta` says how
    little the policy may move; 0.1 in the paper.
    """
    advantage = beta * (log_ratios - z0) * signed_weights.sign()
    return signed_weights.abs() * (1.0 - torch.sigmoid(advantage))


def kl_baseline(log_ratios: Tensor) -> Tensor:
    """KTO's reference point z0 = max(0, mean of r), without gradient; a scalar.

    The paper takes the mean over mismatched pairs of prompt and text, at the price of two more forward passes; here it
    is the mean over the batch itself, as a trial found no loss by it.
    """
    return log_ratios.detach().mean().clamp(min=0.0)


def bco_loss(log_ratios: Tensor, signed_weights: Tensor, *, shift: Tensor, beta: float) -> Tensor:
    """Binary classifier optimisation: -|w| log sigma(+-beta (r - shift)), + for a like.

    Jung et al. 2024 (arXiv 2404.04656, equation 11), with the mean of the batch's r as the shift of the reward.
    """
    return -signed_weights.abs() * F.logsigmoid(beta * (log_ratios - shift) * signed_weights.sign())


def advantage_loss(log_ratios: Tensor, signed_weights: Tensor) -> Tensor:
    """Advantage-weighted regression: -exp(w) log pi(y|x) up to a constant.

    Peng et al. 2019 (arXiv 1910.00177, equation 4) with the signed weight as the advantage and temperature 1.
    """
    return -signed_weights.exp() * log_ratios


def rated_loss(log_ratios: Tensor, signed_weights: Tensor, *, all_ratios: Tensor, config: RunConfig) -> Tensor:
    """The loss by `config.loss`; `all_ratios` are those of every process, detached."""
    match config.loss:
        case "kto":
            return kto_loss(log_ratios, signed_weights, z0=kl_baseline(all_ratios), beta=config.beta)
        case "bco":
            return bco_loss(log_ratios, signed_weights, shift=all_ratios.mean(), beta=config.beta)
        case "advantage":
            return advantage_loss(log_ratios, signed_weights)


def balanced_weights(values: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Signed weights value x weight, balanced between likes and dislikes, of mean size 1.

    The paper's rule is lambda_D n_D / (lambda_U n_U) in [1, 4/3]; with graded weights the sums of |value| x weight
    stand for the counts n. A ratio already inside is left alone, otherwise likes are scaled to the nearer end. There
    is at least one value on each side of 0.
    """
    signed = [value * weight for value, weight in zip(values, weights, strict=True)]
    likes = sum(x for x in signed if x > 0.0)
    dislikes = -sum(x for x in signed if x < 0.0)
    ratio = likes / dislikes
    scale = min(max(ratio, 1.0), 4.0 / 3.0) / ratio
    balanced = [x * scale if x > 0.0 else x for x in signed]
    mean = sum(abs(x) for x in balanced) / len(balanced)
    return tuple(x / mean for x in balanced)


def fit_adapter(stage: TrainingStage, data: TrainingSet) -> None:
    """The objective of ordinary models: `rated_loss` on the ratings, and a pull back to the base on its own texts."""
    config, rng = stage.config, random.Random(stage.config.seed)
    steps = rated_steps(len(data.rows), config)
    optimizer = AdapterOptimizer(stage.model, learning_rate(stage))
    latest = deque[float](maxlen=step_size(len(data.rows), config))
    for step, chosen in enumerate(_batches(data.rows, config, rng), start=1):
        wanted = round(len(chosen) * config.anchor_share / (1.0 - config.anchor_share))
        anchors = rng.sample(data.anchors, min(wanted, len(data.anchors)))
        loss = _backward(stage, data, chosen, anchors, latest)
        require_finite(loss)
        optimizer.step()
        if not stage.record_step(step, steps, loss):
            break


def _batches(rows: Sequence[Encoded], config: RunConfig, rng: random.Random) -> Iterator[list[int]]:
    """All row numbers, epoch after epoch, in batches of like length and random order."""
    size = step_size(len(rows), config)
    for _ in range(config.epochs):
        order = list(range(len(rows)))
        rng.shuffle(order)
        window = size * _LOCAL_STEPS
        batches = []
        for start in range(0, len(order), window):
            local = sorted(order[start : start + window], key=lambda i: len(rows[i]))
            batches += [local[i : i + size] for i in range(0, len(local), size)]
        rng.shuffle(batches)
        yield from batches


def _backward(
    stage: TrainingStage, data: TrainingSet, chosen: Sequence[int], anchors: Sequence[Encoded], latest: deque[float]
) -> float:
    """Add the gradients of this process's share of a step's loss, in pieces that fit the token budget.

    Every piece is divided among the processes row by row, so that the pieces are the same for any number of them.
    `latest` are the log-ratios of the last step's size of rows. Returns the loss of the whole step.
    """
    most, total = stage.config.gradient_tokens, 0.0
    groups = list(micro_batches([data.rows[i] for i in chosen], size=len(chosen), max_tokens=most))
    for group in groups:
        if len(groups) == 1:  # the reference point is the step's own, else that of as many rows, some a step older
            latest.clear()
        loss = _rated_loss(stage, data, torch.tensor([chosen[i] for i in group]), latest) / len(chosen)
        loss.backward()
        total += loss.item()
    for group in micro_batches(anchors, size=len(anchors), max_tokens=most):
        rows = [anchors[i] for i in group]
        loss = ANCHOR_WEIGHT * _anchor_loss(stage, rows) * (len(rows) / len(anchors))
        loss.backward()
        total += loss.item()
    return float(distributed.total(torch.tensor(total, dtype=torch.float64)))


def _rated_loss(stage: TrainingStage, data: TrainingSet, piece: Tensor, latest: deque[float]) -> Tensor:
    """This process's share of the rated texts' loss, summed over the rows whose numbers the piece holds.

    Their log-ratios join the latest, over which the loss has its means.
    """
    places = torch.tensor(distributed.share(range(len(piece))), dtype=torch.long)
    mine, device = piece[places], stage.base.model.device
    ratios = torch.zeros(0, device=device, requires_grad=True)  # a small piece may leave this process nothing
    if len(mine):
        batch = collate([data.rows[i] for i in mine.tolist()], pad_id=stage.base.pad_id, device=device)
        ratios = log_probs(stage.model, batch) - data.references[mine].to(device)
    all_ratios = ratios.new_zeros(len(piece)).index_copy(0, places.to(device), ratios.detach())
    latest.extend(distributed.total(all_ratios).tolist())
    weights = data.signed_weights[mine].to(device)
    return rated_loss(ratios, weights, all_ratios=ratios.new_tensor(list(latest)), config=stage.config).sum()


def _anchor_loss(stage: TrainingStage, rows: Sequence[Encoded]) -> Tensor:
    """This process's share of KL(base || policy) on the base's own texts, nats a token of all rows.

    In expectation this is the plain likelihood of those texts up to a constant, without the noise of which token the
    base happened to draw; its gradient is 0 where training starts.
    """
    mine, tokens, device = distributed.share(rows), sum(len(row.completion) for row in rows), stage.base.model.device
    if not mine:
        return torch.zeros((), device=device, requires_grad=True)
    batch = collate(mine, pad_id=stage.base.pad_id, device=device)
    with torch.no_grad(), stage.model.disable_adapter():
        base = Predictions(stage.model, batch)
    policy = Predictions(stage.model, batch)
    return policy.kl_divergence(base, is_reverse=True).sum() / tokens
