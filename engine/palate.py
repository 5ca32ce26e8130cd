"""The house's taste and, on top of it, that of each person who has rated enough.

A mixed-effects logistic regression (Gelman and Hill, "Data Analysis Using Regression and Multilevel/Hierarchical
Models", 2007, chapter 14), fitted in two steps: the house first, then each person p with the house's logit as offset

    logit_p(x) = house(x) + a_p + delta_p . z(x),    delta_p ~ N(0, tau^2 I),    a_p ~ N(0, 2^2),

where z(x) are the features as the house's head standardises and projects them, of length about 1 a text: tau^2 I there
is tau^2 / d on d standardised features. a_p, how easily somebody is pleased, orders nothing and is left out of scores.
A person has few ratings and many features, so the mode is found among the ratings, as for a Gaussian process with the
covariance tau^2 z.z' + 2^2 (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 3.1).
tau is not chosen but averaged over, each by its Laplace evidence, tau = 0 (the house's taste and no other) among them:
what a few ratings cannot tell leaves a person with the house. The same ratings have made the house's head, of which
they are a small part. Knows features and ratings; knows nothing of models, texts, or of who the people are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.taste import Labels, TasteHead, fit

_TAUS = (0.0, 0.5, 1.0, 2.0, 4.0)
_INTERCEPT_SD = 2.0
_NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one person thinks of m of the texts."""

    texts: Tensor
    """(m,), int64: which of them."""
    likes: Tensor
    """(m,), float64 in [0, 1]: 1 is liked."""


@dataclass(frozen=True, slots=True)
class Palate:
    """A fitted taste."""

    house: TasteHead
    people: Mapping[str, Tensor]
    """Each person's delta, (k,), float64, on the house's projected features."""

    def scores(self, features: Tensor, *, person: str | None = None, draw: int | None = None) -> Tensor:
        """How much texts are liked, (n,), log-odds up to a constant, for features of shape (n, d).

        With `draw`, the house's part is that of one head drawn from its posterior; equal numbers draw the same one.
        """
        if draw is None:
            scores = self.house.logits(features)
        else:
            scores = self.house.draws(features, count=1, seed=draw)[0].logit(eps=1e-12)
        delta = None if person is None else self.people.get(person)
        return scores if delta is None else scores + _projected(self.house, features) @ delta


def fit_palate(features: Tensor, labels: Labels, people: Mapping[str, Verdicts]) -> Palate:
    """Fit the house on (n, d) features, and every person of `people` on theirs of them."""
    house = fit(features, labels)
    offsets, projected = house.logits(features), _projected(house, features)
    deltas = {
        name: _delta(projected[verdicts.texts], offsets[verdicts.texts], verdicts.likes)
        for name, verdicts in people.items()
    }
    return Palate(house, deltas)


def _projected(head: TasteHead, features: Tensor) -> Tensor:
    """(n, d) -> (n, k), float64."""
    return (features.double() - head.mean) @ head.projection


def _delta(inputs: Tensor, offsets: Tensor, likes: Tensor) -> Tensor:
    """A person's delta, (k,), averaged over tau by its evidence; `inputs` are (m, k), the rest (m,)."""
    fits = [_mode(inputs, offsets, likes, tau) for tau in _TAUS]
    shares = torch.tensor([evidence for evidence, _ in fits], dtype=torch.float64).softmax(dim=0)
    deltas: Sequence[Tensor] = [tau**2 * inputs.T @ slopes for tau, (_, slopes) in zip(_TAUS, fits, strict=True)]
    return shares @ torch.stack(list(deltas))


def _mode(inputs: Tensor, offsets: Tensor, likes: Tensor, tau: float) -> tuple[float, Tensor]:
    """Log evidence, and at the mode the slope of the log likelihood in each rating's logit, (m,), for a width tau.

    A step of Newton's that would overshoot is halved until it does not.
    """
    covariance = tau**2 * inputs @ inputs.T + _INTERCEPT_SD**2  # (m, m)
    slopes = torch.zeros_like(offsets)
    reached = _log_posterior(covariance, slopes, offsets, likes)
    for _ in range(_NEWTON_STEPS):
        own = covariance @ slopes
        chances = torch.sigmoid(offsets + own)
        curvature = (chances * (1.0 - chances)).clamp(min=1e-12)
        factor = _factor(covariance, curvature)
        target = curvature * own + likes - chances
        root = curvature.sqrt()
        solved = torch.cholesky_solve((root * (covariance @ target))[:, None], factor)[:, 0]
        step, size = target - root * solved - slopes, 1.0
        while (there := _log_posterior(covariance, slopes + size * step, offsets, likes)) < reached and size > 1e-3:
            size /= 2.0
        slopes, gained, reached = slopes + size * step, there - reached, there
        if gained < 1e-9:
            break
    chances = torch.sigmoid(offsets + covariance @ slopes)
    factor = _factor(covariance, (chances * (1.0 - chances)).clamp(min=1e-12))
    return reached - float(factor.diagonal().log().sum()), slopes


def _factor(covariance: Tensor, curvature: Tensor) -> Tensor:
    """The Cholesky factor of B = I + W^1/2 K W^1/2."""
    root = curvature.sqrt()
    factor: Tensor = torch.linalg.cholesky(
        torch.eye(len(root), dtype=root.dtype) + root[:, None] * covariance * root[None, :]
    )
    return factor


def _log_posterior(covariance: Tensor, slopes: Tensor, offsets: Tensor, likes: Tensor) -> float:
    """log p(likes | f) - f' K^-1 f / 2 for f = K slopes, without the constant of the prior."""
    own = covariance @ slopes
    logits = offsets + own
    fitted = likes * F.logsigmoid(logits) + (1.0 - likes) * F.logsigmoid(-logits)
    value = float(fitted.sum() - 0.5 * slopes @ own)
    assert not math.isnan(value), "finite features and labels give a finite posterior"
    return value
