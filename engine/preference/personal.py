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

import numpy as np
from numpy.typing import NDArray

from engine.preference.features import Array
from engine.preference.head import INTERCEPT_SD, Labels, PreferenceHead, fit, laplace

_TAUS = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class PersonLikes:
    """What one person thinks of m of the texts."""

    texts: NDArray[np.int64]  # (m,): which of them
    likes: Array  # (m,) in [0, 1]: 1 is liked


@dataclass(frozen=True, slots=True)
class PreferenceModel:
    """The shared head and each person's difference from it."""

    shared: PreferenceHead
    people: Mapping[str, Array]  # each person's delta, (k,), on the projected features

    def scores(self, features: Array, *, person: str | None = None, draw: int | None = None) -> Array:
        """How much texts are liked, (n,), log-odds up to a constant, for features of shape (n, d).

        With `draw`, the shared part is that of one head drawn from its posterior; equal numbers draw the same one.
        """
        shared = self.shared
        scores = shared.logits(features) if draw is None else shared.draws(features, count=1, seed=draw)[0]
        delta = None if person is None else self.people.get(person)
        return scores if delta is None else scores + self.shared.projected(features) @ delta


def fit_preferences(features: Array, labels: Labels, people: Mapping[str, PersonLikes]) -> PreferenceModel:
    """Fit the shared head on (n, d) features, and every person of `people` on theirs of them."""
    shared = fit(features, labels)
    offsets, projected = shared.logits(features), shared.projected(features)
    deltas = {name: _delta(projected[own.texts], offsets[own.texts], own.likes) for name, own in people.items()}
    return PreferenceModel(shared, deltas)


def _delta(inputs: Array, offsets: Array, likes: Array) -> Array:
    """A person's delta, (k,), averaged over tau by its evidence; `inputs` are (m, k), the rest (m,)."""
    products, votes = inputs @ inputs.T, np.ones_like(likes)
    fits = [laplace(tau**2 * products + INTERCEPT_SD**2, likes, votes, offsets) for tau in _TAUS]
    evidence = np.array([each for each, _ in fits])
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    delta: Array = shares @ np.stack([tau**2 * inputs.T @ slopes for tau, (_, slopes) in zip(_TAUS, fits, strict=True)])
    return delta
