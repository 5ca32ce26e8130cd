"""The taste head: does it learn, does it know what it does not know, and does noise leave it without a signal."""

import numpy as np
import pytest

from engine.preference.features import Array
from engine.preference.head import Labels, auroc, find_signal, fit, sigmoid


def labelled(count: int, *, strength: float, seed: int = 0, width: int = 40) -> tuple[Array, Labels, Array]:
    """Random features whose first direction decides the like with the given log-odds; and these."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((count, width))
    logits = strength * features[:, 0]
    likes = (draw.random(count) < sigmoid(logits)).astype(float)
    return features, Labels(likes, np.ones(count), np.arange(count)), logits


def test_the_head_learns_a_linear_taste_and_generalises():
    features, labels, _ = labelled(400, strength=4.0)
    fresh, _, logits = labelled(400, strength=4.0, seed=1)
    head = fit(features, labels)
    assert np.corrcoef(head.logits(fresh), logits)[0, 1] > 0.8


def test_more_votes_make_the_head_surer():
    few, many = labelled(40, strength=3.0), labelled(800, strength=3.0)
    fresh = labelled(50, strength=3.0, seed=2)[0]
    spread = [fit(x, y).draws(fresh, count=200, seed=0).std(0).mean() for x, y, _ in (few, many)]
    assert spread[1] < 0.7 * spread[0]


def test_the_draws_scatter_around_the_mode():
    features, labels, _ = labelled(300, strength=3.0)
    head = fit(features, labels)
    draws = head.draws(features[:20], count=4000, seed=0)
    assert draws.shape == (4000, 20)
    assert np.allclose(draws.mean(0), head.logits(features[:20]), atol=0.1)


def test_separable_labels_stay_finite():
    features = np.concatenate([np.ones((10, 3)), -np.ones((10, 3))])
    likes = np.concatenate([np.ones(10), np.zeros(10)])
    head = fit(features, Labels(likes, np.ones(20), np.arange(20)))
    assert np.isfinite(head.logits(features)).all()
    assert (head.logits(features)[:10] > 1.0).all()


def test_features_that_never_vary_do_no_harm():
    features, labels, _ = labelled(100, strength=4.0)
    padded = np.concatenate([features, np.full((100, 5), 7.0)], axis=1)
    logits = fit(padded, labels).logits(padded)
    assert np.isfinite(logits).all()


def test_a_real_taste_is_a_signal():
    features, labels, _ = labelled(200, strength=3.0)
    assert find_signal(features, labels, seed=0).chance <= 0.005


def test_random_ratings_pass_for_a_signal_at_most_once_in_forty():
    passed = 0
    for seed in range(120):
        features, labels, _ = labelled(60, strength=0.0, seed=100 + seed, width=20)
        passed += find_signal(features, labels, seed=seed).chance <= 0.02
    assert passed <= 3


def test_the_signal_of_the_same_ratings_is_always_the_same():
    features, labels, _ = labelled(60, strength=1.0)
    assert find_signal(features, labels, seed=3) == find_signal(features, labels, seed=3)


@pytest.mark.parametrize(
    ("scores", "ratings", "expected"),
    [
        ([0.0, 1.0, 2.0, 3.0], [-1.0, -1.0, 1.0, 1.0], 1.0),
        ([3.0, 2.0, 1.0, 0.0], [-1.0, -1.0, 1.0, 1.0], 0.0),
        ([0.0, 2.0, 1.0, 3.0], [-1.0, -1.0, 1.0, 1.0], 0.75),
        ([0.0, 2.0, 1.0, 3.0], [-1.0, -0.5, 1.0, 1.0], 2.5 / 3.0),
        ([0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0], 0.5),
    ],
)
def test_the_auroc_counts_weighted_pairs_in_the_right_order(scores, ratings, expected):
    columns = [np.array(values)[:, None] for values in (scores, ratings)]
    assert auroc(*columns).item() == pytest.approx(expected)
