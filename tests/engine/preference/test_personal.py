"""A person's own taste over everybody's: learned from enough, harmless from few."""

import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.preference.head import Labels, auroc
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences

WIDTH = 40
torch.set_num_threads(1)  # two threads on two busy cores are slower than one
Taste = Callable[[Tensor], Tensor]


def shared_taste(features: Tensor) -> Tensor:
    return 2.0 * features[:, 0].double()


def one_way(features: Tensor) -> Tensor:
    return shared_taste(features) + 4.0 * features[:, 1].double()


def the_other_way(features: Tensor) -> Tensor:
    return shared_taste(features) - 4.0 * features[:, 1].double()


def by_chance(features: Tensor) -> Tensor:
    return torch.zeros(len(features), dtype=torch.float64)


def fitted(seed: int, ratings: int, **tastes: Taste) -> tuple[PreferenceModel, Tensor]:
    """A model of 300 texts that everybody has rated, and some of them each person; and 500 fresh texts."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((300, WIDTH), generator=generator)

    def draw(logits: Tensor) -> Tensor:
        return (torch.rand(len(logits), generator=generator) < torch.sigmoid(logits)).double()

    labels = Labels(draw(shared_taste(features)), torch.ones(300, dtype=torch.float64), torch.arange(300))
    people = {}
    for name, taste in tastes.items():
        texts = torch.randperm(300, generator=generator)[:ratings]
        people[name] = PersonLikes(texts, draw(taste(features[texts])))
    return fit_preferences(features, labels, people), torch.randn((500, WIDTH), generator=generator)


def ranking(model: PreferenceModel, fresh: Tensor, taste: Taste, person: str | None = None) -> float:
    """How often a text that this taste likes scores above one that it does not."""
    sides = torch.where(taste(fresh) > 0.0, 1.0, -1.0).double()
    return float(auroc(model.scores(fresh, person=person)[:, None], sides[:, None]))


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
    features = torch.randn((100, WIDTH), generator=torch.Generator().manual_seed(0))
    likes = (features[:, 0] > 0).double()
    everything = PersonLikes(torch.arange(20), torch.ones(20, dtype=torch.float64))
    labels = Labels(likes, torch.ones(100, dtype=torch.float64), torch.arange(100))
    model = fit_preferences(features, labels, {"joy": everything})
    together = torch.stack([model.scores(features), model.scores(features, person="joy")])
    assert torch.corrcoef(together)[0, 1] > 0.9


def test_a_stranger_has_the_shared_taste_and_a_draw_is_repeated() -> None:
    model, fresh = fitted(0, 40, ann=one_way)
    assert torch.equal(model.scores(fresh, person="nobody"), model.scores(fresh))
    drawn = model.scores(fresh, person="ann", draw=3)
    assert torch.equal(drawn, model.scores(fresh, person="ann", draw=3))
    assert not torch.equal(drawn, model.scores(fresh, person="ann", draw=4))
    own = model.scores(fresh, person="ann") - model.scores(fresh)
    assert torch.allclose(drawn - model.scores(fresh, draw=3), own)


def test_verdicts_that_a_plane_divides_stay_finite() -> None:
    features = torch.cat([torch.ones((30, 3)), -torch.ones((30, 3))]) * torch.rand(60, 1)
    likes = torch.cat([torch.ones(30), torch.zeros(30)]).double()
    labels = Labels(likes, torch.ones(60, dtype=torch.float64), torch.arange(60))
    model = fit_preferences(features, labels, {"max": PersonLikes(torch.arange(60), 1.0 - likes)})
    assert model.scores(features, person="max").isfinite().all()
