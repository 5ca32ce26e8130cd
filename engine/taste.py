"""The taste head: from how the frozen base reads a text to the chance that this audience likes it.

Bayesian logistic regression on four blocks of features of equal weight: the mean of the token embeddings (which words),
the maximum over the text of the first layer's states (whether something occurs at all), the mean of the middle layer's
(what is meant), and the log of the length. Standardised, projected on the principal components, prior N(0, tau^2 / d)
with tau chosen by the Laplace evidence (MacKay 1992), posterior by Laplace's approximation. On simulated tastes this
ranked pairs right in .91, the means of two middle layers in .82. Knows hidden states and labels; knows nothing of
adapters, of what the texts say, or of the gate's decision.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine import ranks
from engine.objectives import Encoded, collate, micro_batches

MAX_COMPONENTS = 256
FOLDS = 10
PERMUTATIONS = 999
RIDGE = 0.5
MAX_SIGNAL_TEXTS = 2000
"""Texts the signal is sought in; its test takes memory by their square."""
_TAUS = (0.5, 1.0, 2.0, 4.0, 8.0)
_INTERCEPT_SD = 2.0
_NEWTON_STEPS = 25


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known about n texts, in their order."""

    likes: Tensor
    """(n,), float64 in [0, 1]: 1 is liked."""
    votes: Tensor
    """(n,), float64, above 0: how many votes each label is worth."""
    groups: Tensor
    """(n,), int64: texts that answer the same prompt share a number."""


@dataclass(frozen=True, slots=True)
class TasteHead:
    """A fitted head and its uncertainty."""

    mean: Tensor
    """(d,), float64: of the features it was fitted on."""
    projection: Tensor
    """(d, k), float64: standardises and projects."""
    weights: Tensor
    """(k + 1,), float64, the posterior mode; the last is the intercept."""
    factor: Tensor
    """(k + 1, k + 1), float64, lower triangular L with L L^T = the posterior's precision."""

    def logits(self, features: Tensor) -> Tensor:
        """Log-odds of a like at the posterior mode, (n,), for features of shape (n, d)."""
        return _design(features, self.mean, self.projection) @ self.weights

    def draws(self, features: Tensor, *, count: int, seed: int) -> Tensor:
        """Chances of a like under `count` draws from the posterior, (count, n)."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((len(self.weights), count), generator=generator, dtype=torch.float64)
        # L^-T noise has covariance (L L^T)^-1.
        deviations = torch.linalg.solve_triangular(self.factor.T, noise, upper=True)
        design = _design(features, self.mean, self.projection)
        return torch.sigmoid(design @ (self.weights[:, None] + deviations)).T


@dataclass(frozen=True, slots=True)
class Signal:
    """Whether the ratings predict one another at all."""

    auroc: float
    """Chance that a liked text scores above a disliked one, by a regression on other prompts' ratings."""
    chance: float
    """How often shuffled ratings do as well: the p-value of a permutation test."""


@torch.no_grad()
def text_features(model: PreTrainedModel, rows: Sequence[Encoded], *, pad_id: int, max_tokens: int) -> Tensor:
    """What the head sees of each row's completion, (n, 4 H), on the CPU. The model's adapters, if any, must be off."""
    middle = math.ceil(model.config.get_text_config().num_hidden_layers / 2)
    features = torch.zeros((len(rows), 4 * model.config.get_text_config().hidden_size))
    for group in ranks.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
        batch = collate([rows[i] for i in group], pad_id=pad_id, device=model.device)
        states = model.base_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True, use_cache=False
        ).hidden_states
        mask = batch.completion_mask[:, :, None]  # (B, T, 1)
        lengths = mask.sum(1).clamp(min=1)  # (B, 1)
        embedded, first, deep = (states[layer].float() for layer in (0, 1, middle))
        blocks = [
            (embedded * mask).sum(1) / lengths,
            first.masked_fill(~mask, first.min()).amax(1),
            (deep * mask).sum(1) / lengths,
            # As wide as the others, so that it weighs as much under the common prior.
            lengths.float().log().expand(-1, embedded.shape[-1]),
        ]
        features[torch.tensor(group)] = torch.cat(blocks, dim=1).cpu()
    return ranks.total(features)


def fit(features: Tensor, labels: Labels) -> TasteHead:
    """Fit the head on (n, d) features; the prior's width with the highest evidence wins."""
    mean, projection = _principal_components(features.double())
    weights, factor = _posterior(_design(features, mean, projection), labels)
    return TasteHead(mean, projection, weights, factor)


def find_signal(features: Tensor, labels: Labels, *, seed: int) -> Signal:
    """Cross-validate by prompt, and compare with the same ratings shuffled over the texts.

    Cross-validated scores depend on one another, so that textbook errors of the AUROC are too small (with 60 random
    ratings a bound of 2.33 of them was passed by one in twenty). A permutation test is exact. It needs a thousand fits,
    hence ridge regression on the signed ratings here, whose out-of-fold scores are one matrix product away.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(features), generator=generator)[:MAX_SIGNAL_TEXTS]
    inputs = _design(features, *_principal_components(features.double()))[chosen, :-1]
    ratings = (labels.votes * (2.0 * labels.likes - 1.0))[chosen]
    shuffled = [ratings[torch.randperm(len(ratings), generator=generator)] for _ in range(PERMUTATIONS)]
    columns = torch.stack([ratings, *shuffled], dim=1)  # (n, 1 + PERMUTATIONS)
    areas = auroc(_smoother(inputs, labels.groups[chosen] % FOLDS) @ columns, columns)
    as_good = int((areas[1:] >= areas[0]).sum())
    return Signal(auroc=float(areas[0]), chance=(1 + as_good) / (1 + PERMUTATIONS))


def auroc(scores: Tensor, ratings: Tensor) -> Tensor:
    """Chance that a liked text scores above a disliked one, for each column, (m,); 1/2 where all are alike.

    Args:
        scores: (n, m).
        ratings: (n, m), positive for a like, negative for a dislike, as large as their weight.
    """
    order = scores.argsort(dim=0)
    ordered = ratings.gather(0, order)
    likes, dislikes = ordered.clamp(min=0.0), (-ordered).clamp(min=0.0)
    beaten = (likes * dislikes.cumsum(0)).sum(0)
    pairs = likes.sum(0) * dislikes.sum(0)
    return torch.where(pairs > 0.0, beaten / pairs, 0.5)


def _smoother(inputs: Tensor, folds: Tensor) -> Tensor:
    """The matrix that turns ratings into out-of-fold ridge scores, (n, n).

    The intercept is left out of the scores: it falls when the left-out fold is liked more than the rest, which would
    push the AUROC below 1/2.
    """
    matrix = torch.zeros((len(inputs), len(inputs)), dtype=inputs.dtype)
    penalty = RIDGE * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    for fold in folds.unique().tolist():
        out, kept = (folds == fold).nonzero()[:, 0], (folds != fold).nonzero()[:, 0]
        solved = torch.linalg.solve(inputs[kept].T @ inputs[kept] + penalty, inputs[kept].T)
        rows = inputs[out] @ solved  # (out, kept)
        matrix[out[:, None], kept[None, :]] = rows - rows.mean(dim=1, keepdim=True)
    return matrix


def _principal_components(features: Tensor) -> tuple[Tensor, Tensor]:
    """The features' mean, (d,), and the projection that standardises and turns them, (d, k)."""
    mean, deviation = features.mean(0), features.std(0, correction=0)
    # Divided by sqrt(d), a text's features have length about 1, so that tau is the prior's width in log-odds. What
    # does not vary says nothing.
    scale = torch.where(deviation > 1e-6, 1.0 / (deviation * math.sqrt(features.shape[1])), 0.0)
    standard = (features - mean) * scale
    components = min(MAX_COMPONENTS, max(1, len(features) // 2), *standard.shape)
    basis = torch.linalg.svd(standard, full_matrices=False).Vh[:components].T
    return mean, scale[:, None] * basis


def _design(features: Tensor, mean: Tensor, projection: Tensor) -> Tensor:
    """The regression's inputs, (n, k + 1), the last column 1."""
    projected = (features.double() - mean) @ projection
    return torch.cat([projected, projected.new_ones((len(projected), 1))], dim=1)


def _posterior(design: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Mode and precision factor under the prior width with the highest evidence."""
    fits = [_newton(design, labels, tau) for tau in _TAUS]
    _, weights, factor = max(fits, key=lambda fitted: fitted[0])
    return weights, factor


def _newton(design: Tensor, labels: Labels, tau: float) -> tuple[float, Tensor, Tensor]:
    """Log evidence up to a constant, posterior mode and Cholesky factor of the precision, for prior width tau."""
    prior = torch.full((design.shape[1],), tau**-2, dtype=torch.float64)
    prior[-1] = _INTERCEPT_SD**-2
    weights = torch.zeros(design.shape[1], dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        chances = torch.sigmoid(design @ weights)
        gradient = design.T @ (labels.votes * (labels.likes - chances)) - prior * weights
        step = torch.cholesky_solve(gradient[:, None], _precision(design, labels, chances, prior))[:, 0]
        weights = weights + step
        if float(step.abs().max()) < 1e-8:
            break
    logits = design @ weights
    factor = _precision(design, labels, torch.sigmoid(logits), prior)
    fitted = labels.likes * torch.nn.functional.logsigmoid(logits)
    fitted = fitted + (1.0 - labels.likes) * torch.nn.functional.logsigmoid(-logits)
    evidence = (labels.votes * fitted).sum() - 0.5 * (prior * weights**2).sum()
    evidence = evidence + 0.5 * prior.log().sum() - factor.diagonal().log().sum()
    return float(evidence), weights, factor


def _precision(design: Tensor, labels: Labels, chances: Tensor, prior: Tensor) -> Tensor:
    """The Cholesky factor of the Hessian of the negative log posterior."""
    curvature = labels.votes * chances * (1.0 - chances)
    factor: Tensor = torch.linalg.cholesky((design * curvature[:, None]).T @ design + torch.diag(prior))
    return factor
