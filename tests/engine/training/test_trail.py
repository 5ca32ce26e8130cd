"""The trail: back to what was, and down to the budget."""

import torch

from engine.training.checkpoints import Trail


def walked(count: int) -> tuple[torch.Tensor, Trail]:
    weight = torch.zeros(1)
    trail = Trail([weight])
    for step in range(1, count + 1):
        weight.fill_(step)
        trail.mark()
    return weight, trail


def test_it_goes_back_to_a_share_of_the_way():
    weight, trail = walked(10)
    for share, there in ((0.6, 6.0), (1.0, 10.0), (0.0, 0.0)):
        trail.go_to(share)
        assert weight.item() == there


def test_many_marks_are_thinned_and_the_ends_stay():
    weight, trail = walked(100)
    trail.go_to(0.0)
    assert weight.item() == 0.0
    trail.go_to(1.0)
    assert weight.item() == 100.0
    trail.go_to(0.5)
    assert 25.0 < weight.item() < 75.0


def test_it_lands_within_the_budget_near_its_edge():
    weight, trail = walked(1)
    weight.fill_(2.0)
    assert trail.land(weight.item, 1.6) == 1.5
    assert weight.item() == 1.5


def test_weights_that_are_no_numbers_leave_no_trace():
    weight, trail = walked(1)
    weight.fill_(float("nan"))
    assert trail.land(weight.item, 5.0) == 1.0


def test_marks_that_were_thought_to_keep_the_budget_are_passed_on_the_way_back():
    weight, trail = walked(10)
    weight.fill_(11.0)
    assert trail.land(weight.item, 4.6) == 4.5
    trail.go_to(1.0)
    assert weight.item() == 4.0
