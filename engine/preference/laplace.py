"""Laplace's approximation of a logistic regression in as many dimensions as it has observations, by its covariance.

A Gaussian process with logistic likelihood (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
algorithm 3.1): cheap where there are more features than ratings. Knows numbers; knows nothing of texts or people.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

_NEWTON_STEPS = 50
_SMALLEST_STEP = 1e-3
_LEAST_GAIN = 1e-9


def laplace(covariance: Tensor, likes: Tensor, votes: Tensor, offsets: Tensor) -> tuple[float, Tensor]:
    """The log evidence, and at the mode the slope of the log likelihood in each logit, (m,).

    The logits are offsets + f with f ~ N(0, covariance), and f = covariance @ slopes at the mode. A step of Newton's
    that would overshoot is halved until it does not.

    Args:
        covariance: (m, m), that of an intercept included.
        likes: (m,) in [0, 1].
        votes: (m,), how many observations each is worth.
        offsets: (m,), log-odds that are known.
    """
    slopes = torch.zeros_like(offsets)
    reached = _log_posterior(covariance, slopes, likes, votes, offsets)
    for _ in range(_NEWTON_STEPS):
        own = covariance @ slopes
        chances = torch.sigmoid(offsets + own)
        curvature = _curvature(chances, votes)
        target, root = curvature * own + votes * (likes - chances), curvature.sqrt()
        solved = torch.cholesky_solve((root * (covariance @ target))[:, None], _factor(covariance, root))[:, 0]
        step, size = target - root * solved - slopes, 1.0
        there = _log_posterior(covariance, slopes + step, likes, votes, offsets)
        while there < reached and size > _SMALLEST_STEP:
            size /= 2.0
            there = _log_posterior(covariance, slopes + size * step, likes, votes, offsets)
        slopes, gained, reached = slopes + size * step, there - reached, there
        if gained < _LEAST_GAIN:
            break
    curvature = _curvature(torch.sigmoid(offsets + covariance @ slopes), votes)
    return reached - float(_factor(covariance, curvature.sqrt()).diagonal().log().sum()), slopes


def _curvature(chances: Tensor, votes: Tensor) -> Tensor:
    return (votes * chances * (1.0 - chances)).clamp(min=1e-12)


def _factor(covariance: Tensor, root: Tensor) -> Tensor:
    """The Cholesky factor of B = I + W^1/2 K W^1/2."""
    identity = torch.eye(len(root), dtype=root.dtype)
    factor: Tensor = torch.linalg.cholesky(identity + root[:, None] * covariance * root[None, :])
    return factor


def _log_posterior(covariance: Tensor, slopes: Tensor, likes: Tensor, votes: Tensor, offsets: Tensor) -> float:
    """log p(likes | f) - f' K^-1 f / 2 for f = K slopes, without the constant of the prior."""
    own = covariance @ slopes
    logits = offsets + own
    fitted = likes * F.logsigmoid(logits) + (1.0 - likes) * F.logsigmoid(-logits)
    return float((votes * fitted).sum() - 0.5 * slopes @ own)
