"""The KTO loss and the weights of its examples, against the paper."""

import math

import pytest
import torch

from engine.training.kto import balanced_weights, kl_baseline, kto_loss


def test_the_kto_loss_is_the_papers():
    ratios, z0, beta = torch.tensor([2.0, -1.0, 0.5]), torch.tensor(0.3), 0.1
    weights = torch.tensor([1.0, -1.0, 2.0])

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = [
        1 - sigma(beta * (2.0 - 0.3)),
        1 - sigma(beta * (0.3 - -1.0)),
        2 * (1 - sigma(beta * (0.5 - 0.3))),
    ]
    assert kto_loss(ratios, weights, z0=z0, beta=beta).tolist() == pytest.approx(expected)


def test_the_loss_pulls_likes_up_and_dislikes_down():
    ratios = torch.zeros(2, requires_grad=True)
    kto_loss(ratios, torch.tensor([1.0, -1.0]), z0=torch.tensor(0.0), beta=0.1).sum().backward()
    assert ratios.grad is not None
    assert ratios.grad[0] < 0.0 < ratios.grad[1]


def test_the_baseline_is_never_negative_and_carries_no_gradient():
    ratios = torch.tensor([-3.0, 1.0], requires_grad=True)
    assert kl_baseline(ratios).item() == 0.0
    assert kl_baseline(ratios + 5.0).item() == pytest.approx(4.0)
    assert not kl_baseline(ratios).requires_grad


@pytest.mark.parametrize(("likes", "dislikes"), [(90, 10), (10, 90), (50, 50), (55, 45)])
def test_likes_and_dislikes_are_balanced_within_the_papers_bounds(likes, dislikes):
    weights = balanced_weights([1.0] * likes + [-1.0] * dislikes, [0.33] * (likes + dislikes))
    ratio = sum(w for w in weights if w > 0) / -sum(w for w in weights if w < 0)
    assert 1.0 - 1e-9 <= ratio <= 4 / 3 + 1e-9
    assert sum(abs(w) for w in weights) / len(weights) == pytest.approx(1.0)


def test_a_graded_value_weighs_in_proportion():
    weights = balanced_weights([1.0, 0.5, -1.0], [0.4, 0.4, 0.6])
    assert weights[0] == pytest.approx(2 * weights[1])
