"""Checkpoints: back to what was, and down to the budget."""

import torch

from engine.training.stage import Checkpoints


def trained(count: int) -> tuple[torch.Tensor, Checkpoints]:
    weight = torch.zeros(1)
    checkpoints = Checkpoints([weight])
    for step in range(1, count + 1):
        weight.fill_(step)
        checkpoints.save()
    return weight, checkpoints


def test_it_goes_back_to_a_share_of_the_training():
    weight, checkpoints = trained(10)
    for share, there in ((0.6, 6.0), (1.0, 10.0), (0.0, 0.0)):
        checkpoints.restore(share)
        assert weight.item() == there


def test_many_checkpoints_are_thinned_and_the_ends_stay():
    weight, checkpoints = trained(100)
    checkpoints.restore(0.0)
    assert weight.item() == 0.0
    checkpoints.restore(1.0)
    assert weight.item() == 100.0
    checkpoints.restore(0.5)
    assert 25.0 < weight.item() < 75.0


def test_it_rolls_back_within_the_budget_near_its_edge():
    weight, checkpoints = trained(1)
    weight.fill_(2.0)
    assert checkpoints.rollback_to_budget(weight.item, 1.6) == 1.5
    assert weight.item() == 1.5


def test_weights_that_are_no_numbers_leave_no_trace():
    weight, checkpoints = trained(1)
    weight.fill_(float("nan"))
    assert checkpoints.rollback_to_budget(weight.item, 5.0) == 1.0


def test_checkpoints_that_were_thought_to_keep_the_budget_are_passed_on_the_way_back():
    weight, checkpoints = trained(10)
    weight.fill_(11.0)
    assert checkpoints.rollback_to_budget(weight.item, 4.6) == 4.5
    checkpoints.restore(1.0)
    assert weight.item() == 4.0
