"""A person's own taste over everybody's: learned from enough, harmless from few."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest

from engine.preference.features import Array
from engine.preference.head import Labels, auroc, sigmoid
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences

WIDTH = 40
Taste = Callable[[Array], Array]


def shared_taste(features: Array) -> Array:
    return 2.0 * features[:, 0]


def one_way(features: Array) -> Array:
    return shared_taste(features) + 4.0 * features[:, 1]


def the_other_way(features: Array) -> Array:
    return shared_taste(features) - 4.0 * features[:, 1]


def by_chance(features: Array) -> Array:
    return np.zeros(len(features))


def fitted(seed: int, ratings: int, **tastes: Taste) -> tuple[PreferenceModel, Array]:
    """A model of 300 texts that everybody has rated, and some of them each person; and 500 fresh texts."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((300, WIDTH))

    def draw(logits: Array) -> Array:
        return (generator.random(len(logits)) < sigmoid(logits)).astype(float)

    labels = Labels(draw(shared_taste(features)), np.ones(300), np.arange(300))
    people = {}
    for name, taste in tastes.items():
        texts = generator.permutation(300)[:ratings]
        people[name] = PersonLikes(texts, draw(taste(features[texts])))
    return fit_preferences(features, labels, people), generator.standard_normal((500, WIDTH))


def ranking(model: PreferenceModel, fresh: Array, taste: Taste, person: str | None = None) -> float:
    """How often a text that this taste likes scores above one that it does not."""
    sides = np.where(taste(fresh) > 0.0, 1.0, -1.0)
    return float(auroc(model.scores(fresh, person=person)[:, None], sides[:, None])[0])


@pytest.mark.parametrize("seed", range(3))
def test_people_of_opposite_tastes_are_each_served_better_by_their_own(seed: int) -> None:
    model, fresh = fitted(seed, 40, ann=one_way, bob=the_other_way)
    for name, taste in (("ann", one_way), ("bob", the_other_way)):
        assert ranking(model, fresh, taste, name) > ranking(model, fresh, taste) + 0.05


def test_more_ratings_serve_better() -> None:
    gains = []
    for ratings in (6, 40, 200):
        worlds = [fitted(seed, ratings, ann=one_way) for seed in range(5)]
        own = [ranking(model, fresh, one_way, "ann") - ranking(model, fresh, one_way) for model, fresh in worlds]
        gains.append(statistics.mean(own))
    assert -0.02 < gains[0] < gains[1] < gains[2]


@pytest.mark.parametrize("ratings", [6, 12])
def test_a_few_ratings_without_a_taste_leave_a_person_near_the_rest(ratings: int) -> None:
    worlds = [fitted(seed, ratings, eve=by_chance) for seed in range(8)]
    harm = [ranking(model, fresh, shared_taste) - ranking(model, fresh, shared_taste, "eve") for model, fresh in worlds]
    assert statistics.mean(harm) < 0.08


def test_who_agrees_with_the_rest_keeps_their_taste() -> None:
    worlds = [fitted(seed, 40, hal=shared_taste) for seed in range(5)]
    loss = [ranking(model, fresh, shared_taste) - ranking(model, fresh, shared_taste, "hal") for model, fresh in worlds]
    assert abs(statistics.mean(loss)) < 0.03


def test_who_likes_everything_does_not_turn_the_order() -> None:
    features = np.random.default_rng(0).standard_normal((100, WIDTH))
    likes = (features[:, 0] > 0).astype(float)
    everything = PersonLikes(np.arange(20), np.ones(20))
    labels = Labels(likes, np.ones(100), np.arange(100))
    model = fit_preferences(features, labels, {"joy": everything})
    together = [model.scores(features), model.scores(features, person="joy")]
    assert np.corrcoef(*together)[0, 1] > 0.9


def test_a_stranger_has_the_shared_taste_and_a_draw_is_repeated() -> None:
    model, fresh = fitted(0, 40, ann=one_way)
    assert np.array_equal(model.scores(fresh, person="nobody"), model.scores(fresh))
    drawn = model.scores(fresh, person="ann", draw=3)
    assert np.array_equal(drawn, model.scores(fresh, person="ann", draw=3))
    assert not np.array_equal(drawn, model.scores(fresh, person="ann", draw=4))
    own = model.scores(fresh, person="ann") - model.scores(fresh)
    assert np.allclose(drawn - model.scores(fresh, draw=3), own)


def test_verdicts_that_a_plane_divides_stay_finite() -> None:
    features = np.concatenate([np.ones((30, 3)), -np.ones((30, 3))]) * np.random.default_rng(0).random((60, 1))
    likes = np.concatenate([np.ones(30), np.zeros(30)])
    labels = Labels(likes, np.ones(60), np.arange(60))
    model = fit_preferences(features, labels, {"max": PersonLikes(np.arange(60), 1.0 - likes)})
    assert np.isfinite(model.scores(features, person="max")).all()
