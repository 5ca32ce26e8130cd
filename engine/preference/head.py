"""The preference head: from what is seen of a text (`engine.preference.features`) to the chance that people like it.

Bayesian logistic regression on the blocks of features. Each block is standardised and scaled to length 1 a text, times
a width: the prior's standard deviation of what the block adds, in log-odds. The widths are those with the highest
Laplace evidence (automatic relevance determination: MacKay 1992) under a log-normal prior around `_WIDTHS`, sought on
the kernel matrix of a part of the texts. Then the features are projected on their principal components, with a standard
normal prior, and the posterior is Laplace's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.preference.features import block_slices

MAX_COMPONENTS = 384
MAX_EVIDENCE_TEXTS = 300  # texts that the widths are chosen by
INTERCEPT_SD = 2.0
_WIDTHS = (0.5, 0.5, 0.5, 0.5, 1.0, 0.5)  # of the blocks of `engine.preference.features`, at first
_WIDTH_OF_OTHERS = 2.0
_FACTORS = (0.25, 0.5, 2.0, 4.0)  # what a block's width may be times its first
_MOST_TEXTS_WITH_TOKEN = 0.9
_FEWEST_TEXTS_WITH_TOKEN = 3
_NEWTON_STEPS, _LAPLACE_NEWTON_STEPS = 25, 50
_SMALLEST_STEP, _LEAST_GAIN = 1e-3, 1e-9

FOLDS = 10
PERMUTATIONS = 999
RIDGE = 5.0
MAX_SIGNAL_TEXTS = 2000  # texts the signal is sought in; its test takes memory by their square


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known about n texts, in their order."""

    likes: Tensor  # (n,), float64 in [0, 1]: 1 is liked
    votes: Tensor  # (n,), float64, above 0: how many votes each label is worth
    groups: Tensor  # (n,), int64: texts that answer the same prompt share a number

    def part(self, which: Tensor | slice) -> "Labels":
        """Those of some of the texts."""
        return Labels(self.likes[which], self.votes[which], self.groups[which])


def labels_of(values: Sequence[float], weights: Sequence[float], groups: Sequence[str]) -> Labels:
    """Labels from values in [-1, 1], weights in [0, 1], and names of what each text answers (`api.types.group_of`).

    One full vote weighs 1/3 after shrinkage and counts as one observation here; no text counts as three.
    """
    numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
    return Labels(
        likes=torch.tensor([(1.0 + value) / 2.0 for value in values], dtype=torch.float64),
        votes=torch.tensor([3.0 * weight for weight in weights], dtype=torch.float64),
        groups=torch.tensor([numbers[group] for group in groups]),
    )


@dataclass(frozen=True, slots=True)
class PreferenceHead:
    """A fitted head and its uncertainty."""

    mean: Tensor  # (d,), float64: of the features it was fitted on
    projection: Tensor  # (d, k), float64: standardises and projects
    weights: Tensor  # (k + 1,), float64, the posterior mode; the last is the intercept
    factor: Tensor  # (k + 1, k + 1), float64, lower triangular L with L L^T = the posterior's precision

    def projected(self, features: Tensor) -> Tensor:
        """(n, d) -> (n, k), float64."""
        return (features.double() - self.mean) @ self.projection

    def logits(self, features: Tensor) -> Tensor:
        """Log-odds of a like at the posterior mode, (n,), for features of shape (n, d)."""
        return _design(self.projected(features)) @ self.weights

    def draws(self, features: Tensor, *, count: int, seed: int, opinion: Tensor | None = None) -> Tensor:
        """Chances of a like under `count` draws from the posterior, (count, n); `opinion` as when it was fitted."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((len(self.weights), count), generator=generator, dtype=torch.float64)
        # L^-T noise has covariance (L L^T)^-1.
        deviations = torch.linalg.solve_triangular(self.factor.T, noise, upper=True)
        design = _design(self.projected(features), opinion)
        return torch.sigmoid(design @ (self.weights[:, None] + deviations)).T


def fit(features: Tensor, labels: Labels, *, opinion: Tensor | None = None) -> PreferenceHead:
    """Fit the head on (n, d) features, and on another head's log-odds, (n,), as one more feature with a wide prior."""
    mean, scale = _standard(features)
    blocks = block_slices(features.shape[1])
    standard = (features.double() - mean) * scale
    for block, width in zip(blocks, _likeliest_widths([standard[:, block] for block in blocks], labels), strict=True):
        scale[block] *= width
    projection = scale[:, None] * _principal_directions((features.double() - mean) * scale)
    design = _design((features.double() - mean) @ projection, opinion)
    return PreferenceHead(mean, projection, *_posterior(design, labels))


@dataclass(frozen=True, slots=True)
class Signal:
    """Whether the ratings predict one another at all."""

    auroc: float
    """Chance that a liked text scores above a disliked one, by a regression on other prompts' ratings."""
    chance: float  # how often shuffled ratings do as well: the p-value of a permutation test


def find_signal(features: Tensor, labels: Labels, *, seed: int) -> Signal:
    """Cross-validate by prompt, and compare with the same ratings shuffled over the texts.

    Cross-validated scores depend on one another, so that textbook errors of the AUROC are too small (with 60 random
    ratings a bound of 2.33 of them was passed by one in twenty). A permutation test is exact. It needs a thousand fits,
    hence ridge regression on the signed ratings here, whose out-of-fold scores are one matrix product away.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(features), generator=generator)[:MAX_SIGNAL_TEXTS]
    mean, scale = _standard(features)
    blocks = block_slices(features.shape[1])
    for block, width in zip(blocks, _first_widths(len(blocks)), strict=True):
        scale[block] *= width
    standard = (features.double() - mean) * scale
    inputs = (standard @ _principal_directions(standard))[chosen]
    ratings = (labels.votes * (2.0 * labels.likes - 1.0))[chosen]
    shuffled = [ratings[torch.randperm(len(ratings), generator=generator)] for _ in range(PERMUTATIONS)]
    columns = torch.stack([ratings, *shuffled], dim=1)  # (n, 1 + PERMUTATIONS)
    areas = auroc(_smoother(inputs, labels.groups[chosen] % FOLDS) @ columns, columns)
    as_good = int((areas[1:] >= areas[0]).sum())
    return Signal(auroc=float(areas[0]), chance=(1 + as_good) / (1 + PERMUTATIONS))


def auroc(scores: Tensor, ratings: Tensor) -> Tensor:
    """Chance that a liked text scores above a disliked one, for each column, (m,); 1/2 where all are alike.

    `scores` and `ratings` are (n, m); ratings positive for a like, negative for a dislike, as large as their weight.
    """
    ordered = ratings.gather(0, scores.argsort(dim=0))
    likes, dislikes = ordered.clamp(min=0.0), (-ordered).clamp(min=0.0)
    beaten = (likes * dislikes.cumsum(0)).sum(0)
    pairs = likes.sum(0) * dislikes.sum(0)
    return torch.where(pairs > 0.0, beaten / pairs, 0.5)


def laplace(covariance: Tensor, likes: Tensor, votes: Tensor, offsets: Tensor) -> tuple[float, Tensor]:
    """The log evidence, and at the mode the slope of the log likelihood in each logit, (m,).

    Laplace's approximation of a logistic regression in as many dimensions as it has observations, that is of a Gaussian
    process (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 3.1): cheap where there
    are more features than ratings. The logits are offsets + f with f ~ N(0, covariance), and f = covariance @ slopes at
    the mode. A step of Newton's that would overshoot is halved until it does not.

    `covariance` is (m, m), that of an intercept included; `likes` (m,) in [0, 1]; `votes` (m,), how many observations
    each is worth; `offsets` (m,), log-odds that are known.
    """

    def log_posterior(slopes: Tensor) -> float:
        """log p(likes | f) - f' K^-1 f / 2 for f = K slopes, without the constant of the prior."""
        own = covariance @ slopes
        logits = offsets + own
        fitted = likes * F.logsigmoid(logits) + (1.0 - likes) * F.logsigmoid(-logits)
        return float((votes * fitted).sum() - 0.5 * slopes @ own)

    def curvature_of(chances: Tensor) -> Tensor:
        return (votes * chances * (1.0 - chances)).clamp(min=1e-12)

    def factor_of(root: Tensor) -> Tensor:
        """The Cholesky factor of B = I + W^1/2 K W^1/2."""
        factor: Tensor = torch.linalg.cholesky(
            torch.eye(len(root), dtype=root.dtype) + root[:, None] * covariance * root[None, :]
        )
        return factor

    slopes = torch.zeros_like(offsets)
    reached = log_posterior(slopes)
    for _ in range(_LAPLACE_NEWTON_STEPS):
        own = covariance @ slopes
        chances = torch.sigmoid(offsets + own)
        curvature = curvature_of(chances)
        target, root = curvature * own + votes * (likes - chances), curvature.sqrt()
        solved = torch.cholesky_solve((root * (covariance @ target))[:, None], factor_of(root))[:, 0]
        step, size = target - root * solved - slopes, 1.0
        there = log_posterior(slopes + step)
        while there < reached and size > _SMALLEST_STEP:
            size /= 2.0
            there = log_posterior(slopes + size * step)
        slopes, gained, reached = slopes + size * step, there - reached, there
        if gained < _LEAST_GAIN:
            break
    curvature = curvature_of(torch.sigmoid(offsets + covariance @ slopes))
    return reached - float(factor_of(curvature.sqrt()).diagonal().log().sum()), slopes


def _standard(features: Tensor) -> tuple[Tensor, Tensor]:
    """The features' mean and scale, (d,) each, after which every block has length 1 a text, on average.

    What does not vary says nothing. Tokens are only centred, so that rare ones do not outweigh the others.
    """
    mean, deviation = features.double().mean(0), features.double().std(0, correction=0)
    scale = torch.where(deviation > 1e-6, 1.0 / deviation.clamp(min=1e-6), 0.0)
    *others, tokens = blocks = block_slices(features.shape[1])
    if others:
        few = mean[tokens] * len(features) < _FEWEST_TEXTS_WITH_TOKEN
        scale[tokens] = torch.where(few | (mean[tokens] > _MOST_TEXTS_WITH_TOKEN), 0.0, 1.0)
    for block in blocks:
        length = (deviation[block] * scale[block]).pow(2).sum().sqrt()
        scale[block] /= length.clamp(min=1e-6)
    return mean, scale


def _first_widths(blocks: int) -> tuple[float, ...]:
    return _WIDTHS if blocks == len(_WIDTHS) else (_WIDTH_OF_OTHERS,) * blocks


def _likeliest_widths(blocks: Sequence[Tensor], labels: Labels) -> list[float]:
    """The width of each block, (n, d_b), by one round over them, the others fixed."""
    part = slice(None, None, max(1, math.ceil(len(labels.likes) / MAX_EVIDENCE_TEXTS)))
    kernels = torch.stack([block[part] @ block[part].T for block in blocks])  # (blocks, m, m)
    some = labels.part(part)
    first = torch.tensor(_first_widths(len(blocks)), dtype=torch.float64)

    def log_evidence(widths: Tensor) -> float:
        prior = -0.5 * (widths / first).log().pow(2).sum()
        covariance = (widths.pow(2)[:, None, None] * kernels).sum(0) + INTERCEPT_SD**2
        return laplace(covariance, some.likes, some.votes, torch.zeros_like(some.likes))[0] + float(prior)

    best, widths = log_evidence(first), first
    for block in range(len(blocks)):
        for factor in _FACTORS:
            others = widths.clone()
            others[block] = first[block] * factor
            if (evidence := log_evidence(others)) > best:
                best, widths = evidence, others
    return [float(width) for width in widths]


def _principal_directions(standard: Tensor) -> Tensor:
    """The first principal directions of n standardised texts, (d, k)."""
    components = min(MAX_COMPONENTS, max(1, len(standard) - 1))
    # By the n x n matrix: there are more features than texts, mostly.
    values, vectors = torch.linalg.eigh(standard @ standard.T)
    kept = values.argsort(descending=True)[:components]
    kept = kept[values[kept] > 1e-9 * values.max().clamp(min=1e-9)]
    directions: Tensor = standard.T @ (vectors[:, kept] / values[kept].sqrt())
    return directions


def _design(projected: Tensor, opinion: Tensor | None = None) -> Tensor:
    """The regression's inputs, (n, k + 1), the last column 1; the opinion, where there is one, comes before it."""
    columns = [projected] if opinion is None else [projected, opinion[:, None]]
    return torch.cat([*columns, projected.new_ones((len(projected), 1))], dim=1)


def _posterior(design: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Mode and Cholesky factor of the precision, by Newton's steps."""
    prior = torch.ones(design.shape[1], dtype=torch.float64)
    prior[-1] = INTERCEPT_SD**-2

    def precision(chances: Tensor) -> Tensor:
        """The Cholesky factor of the Hessian of the negative log posterior."""
        curvature = labels.votes * chances * (1.0 - chances)
        factor: Tensor = torch.linalg.cholesky((design * curvature[:, None]).T @ design + torch.diag(prior))
        return factor

    weights = torch.zeros(design.shape[1], dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        chances = torch.sigmoid(design @ weights)
        gradient = design.T @ (labels.votes * (labels.likes - chances)) - prior * weights
        step = torch.cholesky_solve(gradient[:, None], precision(chances))[:, 0]
        weights = weights + step
        if float(step.abs().max()) < 1e-8:
            break
    return weights, precision(torch.sigmoid(design @ weights))


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
