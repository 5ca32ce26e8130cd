"""Learner and judge: what one has learned of noise the other does not believe."""

import numpy as np

from engine.api.types import Message, group_of
from engine.evaluation.metrics import fit_judge, is_judged, some_on_each_side
from engine.preference.head import Labels, auroc
from tests.engine.preference.test_head import labelled


def halves(count: int) -> np.ndarray:
    return np.arange(count) % 4 == 0


def test_a_quarter_of_the_prompts_is_the_judges():
    groups = [group_of((Message("user", f"topic {number}"),)) for number in range(2000)]
    assert 0.22 < sum(map(is_judged, groups)) / 2000 < 0.28


def test_a_taste_is_believed_and_better_texts_seem_better():
    features, labels, _ = labelled(400, strength=3.0)
    judge = fit_judge(features, labels, halves(400))
    held_out = judge.learner.logits(features[halves(400)])
    signed = 2.0 * labels.likes[halves(400)] - 1.0
    assert auroc(held_out[:, None], signed[:, None]) > 0.75
    fresh = labelled(200, strength=3.0, seed=5)[0]
    good, bad = fresh[fresh[:, 0] > 0.7], fresh[fresh[:, 0] < -0.7]
    means = [judge.draws(texts, count=200, seed=0).mean() for texts in (good, bad)]
    assert means[0] > means[1] + 0.2


def test_a_learner_of_noise_is_not_believed():
    """Texts that the learner prefers gain nothing for certain, over 20 evenings of noise."""
    sure = 0
    for seed in range(20):
        features, labels, _ = labelled(200, strength=0.0, seed=seed)
        judge = fit_judge(features, labels, halves(200))
        fresh = labelled(100, strength=0.0, seed=100 + seed)[0]
        order = judge.learner.logits(fresh).argsort()
        draws = judge.draws(fresh, count=200, seed=0)
        gains = draws[:, order[-50:]].mean(1) - draws[:, order[:50]].mean(1)
        sure += bool((gains > 0.0).double().mean() >= 0.95)
    assert sure <= 4


def test_the_judge_never_sees_what_the_learner_learns_from():
    features, labels, _ = labelled(200, strength=3.0)
    judged = halves(200)
    changed = labels.likes.copy()
    changed[judged] = 1.0 - changed[judged]
    one = fit_judge(features, labels, judged)
    other = fit_judge(features, Labels(changed, labels.votes, labels.groups), judged)
    assert np.array_equal(one.learner.weights, other.learner.weights)
    assert not np.array_equal(one.own.weights, other.own.weights)


def test_both_parts_need_likes_and_dislikes():
    labels = Labels(np.array([1.0, 0.0] * 6 + [1.0] * 12), np.ones(24), np.arange(24))
    judged = np.arange(24) >= 12
    assert not some_on_each_side(labels, judged, fewest=1)
    assert some_on_each_side(labels, np.arange(24) % 2 == np.arange(24) // 12, fewest=1) is False
    assert some_on_each_side(labels, np.arange(24) % 3 == 0, fewest=2)
