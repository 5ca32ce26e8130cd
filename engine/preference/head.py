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

import numpy as np
from numpy.typing import NDArray

from engine.preference.features import FIRST_HASHED, Array, block_slices

MAX_COMPONENTS = 384
MAX_EVIDENCE_TEXTS = 300  # texts that the widths are chosen by
INTERCEPT_SD = 2.0
_WIDTHS = (0.5, 1.0, 1.0, 0.5, 0.5)  # of the blocks of `engine.preference.features`, at first
_WIDTH_OF_OTHERS = 2.0
_FACTORS = (0.25, 0.5, 2.0, 4.0)  # what a block's width may be times its first
_MOST_TEXTS_WITH_WORD = 0.9
_FEWEST_TEXTS_WITH_WORD = 3
_NEWTON_STEPS, _LAPLACE_NEWTON_STEPS = 25, 50
_SMALLEST_STEP, _LEAST_GAIN = 1e-3, 1e-9

FOLDS = 10
PERMUTATIONS = 999
RIDGE = 5.0
MAX_SIGNAL_TEXTS = 2000  # texts the signal is sought in; its test takes memory by their square


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known about n texts, in their order."""

    likes: Array  # (n,) in [0, 1]: 1 is liked
    votes: Array  # (n,), above 0: how many votes each label is worth
    groups: NDArray[np.int64]  # (n,): texts that answer the same prompt share a number

    def part(self, which: NDArray[np.bool_] | slice) -> "Labels":
        """Those of some of the texts."""
        return Labels(self.likes[which], self.votes[which], self.groups[which])


def labels_of(values: Sequence[float], weights: Sequence[float], groups: Sequence[str]) -> Labels:
    """Labels from values in [-1, 1], weights in [0, 1], and names of what each text answers (`api.types.group_of`).

    One full vote weighs 1/3 after shrinkage and counts as one observation here; no text counts as three.
    """
    numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
    return Labels(
        likes=(1.0 + np.array(values, dtype=np.float64)) / 2.0,
        votes=3.0 * np.array(weights, dtype=np.float64),
        groups=np.array([numbers[group] for group in groups], dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class PreferenceHead:
    """A fitted head and its uncertainty."""

    mean: Array  # (d,): of the features it was fitted on
    projection: Array  # (d, k): standardises and projects
    weights: Array  # (k + 1,), the posterior mode; the last is the intercept
    factor: Array  # (k + 1, k + 1), lower triangular L with L L^T = the posterior's precision

    def projected(self, features: Array) -> Array:
        """(n, d) -> (n, k)."""
        return (features - self.mean) @ self.projection

    def logits(self, features: Array) -> Array:
        """Log-odds of a like at the posterior mode, (n,), for features of shape (n, d)."""
        return _design(self.projected(features)) @ self.weights

    def draws(self, features: Array, *, count: int, seed: int, opinion: Array | None = None) -> Array:
        """Log-odds of a like under `count` draws from the posterior, (count, n); `opinion` as when it was fitted."""
        noise = np.random.default_rng(seed).standard_normal((len(self.weights), count))
        deviations = np.linalg.solve(self.factor.T, noise)  # L^-T noise has covariance (L L^T)^-1
        design = _design(self.projected(features), opinion)
        return (design @ (self.weights[:, None] + deviations)).T


def fit(features: Array, labels: Labels, *, opinion: Array | None = None) -> PreferenceHead:
    """Fit the head on (n, d) features, and on another head's log-odds, (n,), as one more feature with a wide prior."""
    mean, scale = _standard(features)
    blocks = [block.start + scale[block].nonzero()[0] for block in block_slices(features.shape[1])]
    widths = _likeliest_widths([_standardised(features, mean, scale, block) for block in blocks], labels)
    for block, width in zip(blocks, widths, strict=True):
        scale[block] *= width
    used = np.concatenate(blocks)  # most words are in no text, or in a few
    standard = _standardised(features, mean, scale, used)
    directions = _principal_directions(standard)
    projection = np.zeros((features.shape[1], directions.shape[1]))
    projection[used] = scale[used, None] * directions
    return PreferenceHead(mean, projection, *_posterior(_design(standard @ directions, opinion), labels))


@dataclass(frozen=True, slots=True)
class Signal:
    """Whether the ratings predict one another at all."""

    auroc: float
    """Chance that a liked text scores above a disliked one, by a regression on other prompts' ratings."""
    chance: float  # how often shuffled ratings do as well: the p-value of a permutation test


def find_signal(features: Array, labels: Labels, *, seed: int, permutations: int = PERMUTATIONS) -> Signal:
    """Cross-validate by prompt, and compare with the same ratings shuffled over the texts.

    Cross-validated scores depend on one another, so that textbook errors of the AUROC are too small (with 60 random
    ratings a bound of 2.33 of them was passed by one in twenty). A permutation test is exact. It needs a thousand fits,
    hence ridge regression on the signed ratings here, whose out-of-fold scores are one matrix product away.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(features))[:MAX_SIGNAL_TEXTS]
    mean, scale = _standard(features)
    blocks = block_slices(features.shape[1])
    for block, width in zip(blocks, _first_widths(len(blocks)), strict=True):
        scale[block] *= width
    standard = _standardised(features, mean, scale, scale.nonzero()[0])
    inputs = (standard @ _principal_directions(standard))[chosen]
    ratings = (labels.votes * (2.0 * labels.likes - 1.0))[chosen]
    shuffled = [generator.permutation(ratings) for _ in range(permutations)]
    columns = np.stack([ratings, *shuffled], axis=1)  # (n, 1 + permutations)
    areas = auroc(_smoother(inputs, labels.groups[chosen] % FOLDS) @ columns, columns)
    as_good = int((areas[1:] >= areas[0]).sum())
    return Signal(auroc=float(areas[0]), chance=(1 + as_good) / (1 + permutations))


def auroc(scores: Array, ratings: Array) -> Array:
    """Chance that a liked text scores above a disliked one, for each column, (m,); 1/2 where all are alike.

    `scores` and `ratings` are (n, m); ratings positive for a like, negative for a dislike, as large as their weight.
    """
    ordered = np.take_along_axis(ratings, scores.argsort(axis=0, kind="stable"), axis=0)
    likes, dislikes = ordered.clip(min=0.0), (-ordered).clip(min=0.0)
    beaten = (likes * dislikes.cumsum(0)).sum(0)
    pairs = likes.sum(0) * dislikes.sum(0)
    return np.where(pairs > 0.0, beaten / np.where(pairs > 0.0, pairs, 1.0), 0.5)


def sigmoid(logits: Array) -> Array:
    """The chance of each log-odds, without overflow."""
    chances: Array = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return chances


def laplace(covariance: Array, likes: Array, votes: Array, offsets: Array) -> tuple[float, Array]:
    """The log evidence, and at the mode the slope of the log likelihood in each logit, (m,).

    Laplace's approximation of a logistic regression in as many dimensions as it has observations, that is of a Gaussian
    process (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 3.1): cheap where there
    are more features than ratings. The logits are offsets + f with f ~ N(0, covariance), and f = covariance @ slopes at
    the mode. A step of Newton's that would overshoot is halved until it does not.

    `covariance` is (m, m), that of an intercept included; `likes` (m,) in [0, 1]; `votes` (m,), how many observations
    each is worth; `offsets` (m,), log-odds that are known.
    """

    def log_posterior(slopes: Array) -> float:
        """log p(likes | f) - f' K^-1 f / 2 for f = K slopes, without the constant of the prior."""
        own = covariance @ slopes
        logits = offsets + own
        fitted = -likes * np.logaddexp(0.0, -logits) - (1.0 - likes) * np.logaddexp(0.0, logits)
        return float((votes * fitted).sum() - 0.5 * slopes @ own)

    def curvature_of(chances: Array) -> Array:
        return (votes * chances * (1.0 - chances)).clip(min=1e-12)

    def scaled(root: Array) -> Array:
        """B = I + W^1/2 K W^1/2, positive definite."""
        return np.eye(len(root)) + root[:, None] * covariance * root[None, :]

    slopes = np.zeros_like(offsets)
    reached = log_posterior(slopes)
    for _ in range(_LAPLACE_NEWTON_STEPS):
        own = covariance @ slopes
        chances = sigmoid(offsets + own)
        curvature = curvature_of(chances)
        target, root = curvature * own + votes * (likes - chances), np.sqrt(curvature)
        solved = np.linalg.solve(scaled(root), root * (covariance @ target))
        step, size = target - root * solved - slopes, 1.0
        there = log_posterior(slopes + step)
        while there < reached and size > _SMALLEST_STEP:
            size /= 2.0
            there = log_posterior(slopes + size * step)
        slopes, gained, reached = slopes + size * step, there - reached, there
        if gained < _LEAST_GAIN:
            break
    curvature = curvature_of(sigmoid(offsets + covariance @ slopes))
    factor = np.linalg.cholesky(scaled(np.sqrt(curvature)))
    return reached - float(np.log(factor.diagonal()).sum()), slopes


def _standard(features: Array) -> tuple[Array, Array]:
    """The features' mean and scale, (d,) each, after which every block has length 1 a text, on average.

    What does not vary says nothing. What occurs or does not is only centred, so that rare words do not outweigh the
    others.
    """
    mean, deviation = features.mean(0), features.std(0)
    scale = np.where(deviation > 1e-6, 1.0 / deviation.clip(min=1e-6), 0.0)
    blocks = block_slices(features.shape[1])
    for block in blocks[FIRST_HASHED:]:
        few = mean[block] * len(features) < _FEWEST_TEXTS_WITH_WORD
        scale[block] = np.where(few | (mean[block] > _MOST_TEXTS_WITH_WORD), 0.0, 1.0)
    for block in blocks:
        length = np.sqrt(((deviation[block] * scale[block]) ** 2).sum())
        scale[block] /= max(float(length), 1e-6)
    return mean, scale


def _standardised(features: Array, mean: Array, scale: Array, columns: NDArray[np.int64]) -> Array:
    """Some of the columns, centred and scaled, (n, len(columns))."""
    return (features[:, columns] - mean[columns]) * scale[columns]


def _first_widths(blocks: int) -> tuple[float, ...]:
    return _WIDTHS if blocks == len(_WIDTHS) else (_WIDTH_OF_OTHERS,) * blocks


def _likeliest_widths(blocks: Sequence[Array], labels: Labels) -> list[float]:
    """The width of each block, (n, d_b), by one round over them, the others fixed."""
    part = slice(None, None, max(1, math.ceil(len(labels.likes) / MAX_EVIDENCE_TEXTS)))
    kernels = np.stack([block[part] @ block[part].T for block in blocks])  # (blocks, m, m)
    some = labels.part(part)
    first = np.array(_first_widths(len(blocks)))

    def log_evidence(widths: Array) -> float:
        prior = -0.5 * (np.log(widths / first) ** 2).sum()
        covariance = np.tensordot(widths**2, kernels, axes=1) + INTERCEPT_SD**2
        return laplace(covariance, some.likes, some.votes, np.zeros_like(some.likes))[0] + float(prior)

    best, widths = log_evidence(first), first
    for block in range(len(blocks)):
        for factor in _FACTORS:
            others = widths.copy()
            others[block] = first[block] * factor
            if (evidence := log_evidence(others)) > best:
                best, widths = evidence, others
    return [float(width) for width in widths]


def _principal_directions(standard: Array) -> Array:
    """The first principal directions of n standardised texts, (d, k)."""
    components = min(MAX_COMPONENTS, max(1, len(standard) - 1))
    # By the n x n matrix: there are more features than texts, mostly.
    values, vectors = np.linalg.eigh(standard @ standard.T)
    kept = values.argsort(kind="stable")[::-1][:components]
    kept = kept[values[kept] > 1e-9 * max(float(values.max()), 1e-9)]
    directions: Array = standard.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return directions


def _design(projected: Array, opinion: Array | None = None) -> Array:
    """The regression's inputs, (n, k + 1), the last column 1; the opinion, where there is one, comes before it."""
    columns = [projected] if opinion is None else [projected, opinion[:, None]]
    return np.concatenate([*columns, np.ones((len(projected), 1))], axis=1)


def _posterior(design: Array, labels: Labels) -> tuple[Array, Array]:
    """Mode and Cholesky factor of the precision, by Newton's steps."""
    prior = np.ones(design.shape[1])
    prior[-1] = INTERCEPT_SD**-2

    def precision(chances: Array) -> Array:
        """The Hessian of the negative log posterior."""
        curvature = labels.votes * chances * (1.0 - chances)
        return (design * curvature[:, None]).T @ design + np.diag(prior)

    weights = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chances = sigmoid(design @ weights)
        gradient = design.T @ (labels.votes * (labels.likes - chances)) - prior * weights
        step = np.linalg.solve(precision(chances), gradient)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    factor = np.linalg.cholesky(precision(sigmoid(design @ weights)))
    return weights, factor.astype(np.float64, copy=False)


def _smoother(inputs: Array, folds: NDArray[np.int64]) -> Array:
    """The matrix that turns ratings into out-of-fold ridge scores, (n, n).

    The intercept is left out of the scores: it falls when the left-out fold is liked more than the rest, which would
    push the AUROC below 1/2.
    """
    matrix = np.zeros((len(inputs), len(inputs)))
    penalty = RIDGE * np.eye(inputs.shape[1])
    for fold in np.unique(folds):
        out, kept = (folds == fold).nonzero()[0], (folds != fold).nonzero()[0]
        solved = np.linalg.solve(inputs[kept].T @ inputs[kept] + penalty, inputs[kept].T)
        rows = inputs[out] @ solved  # (out, kept)
        matrix[np.ix_(out, kept)] = rows - rows.mean(axis=1, keepdims=True)
    return matrix
