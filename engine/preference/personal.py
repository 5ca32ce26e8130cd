"""What everybody likes and, on top of it, what each person likes who has rated enough.

A mixed-effects logistic regression (Gelman and Hill, "Data Analysis Using Regression and Multilevel/Hierarchical
Models", 2007, chapter 14), fitted in two steps: the shared head first, then each person p with its logit as offset

    logit_p(x) = shared(x) + a_p + delta_p . z(x),    delta_p ~ N(0, tau^2 I),    a_p ~ N(0, 2^2),

where z(x) are the features as the shared head standardises and projects them, of length about 1 a text: tau^2 I there
is tau^2 / d on d standardised features. a_p, how easily somebody is pleased, orders nothing and is left out of scores.
A person has few ratings and many features, so the mode is found among the ratings, as for a Gaussian process with the
covariance tau^2 z.z' + 2^2 (`engine.preference.head.laplace`). tau is not chosen but averaged over, each by its
evidence, tau = 0 (the shared head and no other) among them: what a few ratings cannot tell leaves a person with the
rest. The same ratings have made the shared head, of which they are a small part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.preference.head import INTERCEPT_SD, Labels, PreferenceHead, fit, laplace

CLOSE_ENOUGH = 0.045
"""Of the texts whose chance of a like is within so much of the best, the newest is shown
(`engine.inference.best_of`): always the very best one would cost diversity and hardly pleases more, for the head is not
that sure."""
_TAUS = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class PersonLikes:
    """What one person thinks of m of the texts."""

    texts: Tensor  # (m,), int64: which of them
    likes: Tensor  # (m,), float64 in [0, 1]: 1 is liked


@dataclass(frozen=True, slots=True)
class PreferenceModel:
    """The shared head and each person's difference from it."""

    shared: PreferenceHead
    people: Mapping[str, Tensor]  # each person's delta, (k,), float64, on the projected features

    def scores(self, features: Tensor, *, person: str | None = None, draw: int | None = None) -> Tensor:
        """How much texts are liked, (n,), log-odds up to a constant, for features of shape (n, d).

        With `draw`, the shared part is that of one head drawn from its posterior; equal numbers draw the same one.
        """
        if draw is None:
            scores = self.shared.logits(features)
        else:
            scores = self.shared.draws(features, count=1, seed=draw)[0].logit(eps=1e-12)
        delta = None if person is None else self.people.get(person)
        return scores if delta is None else scores + self.shared.projected(features) @ delta


def nearly_best(chances: Tensor) -> Tensor:
    """Which of n texts are nearly the best, bool of the same shape, for chances of shape (n, ...)."""
    return chances >= chances.max(0).values - CLOSE_ENOUGH


def fit_preferences(features: Tensor, labels: Labels, people: Mapping[str, PersonLikes]) -> PreferenceModel:
    """Fit the shared head on (n, d) features, and every person of `people` on theirs of them."""
    shared = fit(features, labels)
    offsets, projected = shared.logits(features), shared.projected(features)
    deltas = {name: _delta(projected[own.texts], offsets[own.texts], own.likes) for name, own in people.items()}
    return PreferenceModel(shared, deltas)


def _delta(inputs: Tensor, offsets: Tensor, likes: Tensor) -> Tensor:
    """A person's delta, (k,), averaged over tau by its evidence; `inputs` are (m, k), the rest (m,)."""
    products, votes = inputs @ inputs.T, torch.ones_like(likes)
    fits = [laplace(tau**2 * products + INTERCEPT_SD**2, likes, votes, offsets) for tau in _TAUS]
    shares = torch.tensor([evidence for evidence, _ in fits], dtype=torch.float64).softmax(dim=0)
    return shares @ torch.stack([tau**2 * inputs.T @ slopes for tau, (_, slopes) in zip(_TAUS, fits, strict=True)])
