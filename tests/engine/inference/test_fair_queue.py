"""Turns go round among people, in proportion to what they cost, and nobody starves."""

import itertools
import random
from collections import Counter

import pytest

from engine.inference.scheduler import QUANTUM, FairQueue, ahead


def drained(queue: FairQueue[str]) -> list[str]:
    order = []
    while queue.peek() is not None:
        assert queue.peek() == queue.peek()
        order.append(queue.pop())
    assert len(queue) == 0
    return order


def filled(*asked: tuple[str, int]) -> FairQueue[str]:
    """A queue in which each (person, cost) asks for one thing called person + number."""
    queue: FairQueue[str] = FairQueue()
    numbers: Counter[str] = Counter()
    for person, cost in asked:
        numbers[person] += 1
        queue.add(f"{person}{numbers[person]}", person=person, cost=cost)
    return queue


def test_strangers_are_served_in_the_order_of_asking_whatever_they_cost() -> None:
    asked = [(name, cost) for name, cost in zip("abcdef", (9000, 1, 300, 256, 5000, 2), strict=True)]
    assert drained(filled(*asked)) == [f"{name}1" for name, _ in asked]


def test_one_persons_wishes_are_served_in_order_and_others_come_after_the_first() -> None:
    heavy = [("heavy", QUANTUM)] * 60
    order = drained(filled(*heavy, *((name, QUANTUM) for name in "abcde")))
    assert order[:7] == ["heavy1", "a1", "b1", "c1", "d1", "e1", "heavy2"]
    assert [item for item in order if item.startswith("heavy")] == [f"heavy{n}" for n in range(1, 61)]


def test_people_who_all_wait_get_alike_many_tokens() -> None:
    draw = random.Random(1)
    costs = {"short": 40, "middling": 300, "long": 4000}
    queue: FairQueue[str] = FairQueue()
    for _ in range(2000):
        for person, cost in costs.items():
            queue.add(person, person=person, cost=draw.randint(cost // 2, cost))
    got: Counter[str] = Counter()
    for _ in range(1200):
        got[person := queue.pop()] += costs[person] * 3 // 4
    assert max(got.values()) - min(got.values()) <= 2 * max(costs.values())


def test_nobody_starves_while_strangers_keep_coming() -> None:
    queue = filled(*[("heavy", 4 * QUANTUM)] * 5, *((f"early{number}", 100) for number in range(10)))
    served = []
    for number in range(300):
        queue.add(f"late{number}", person=f"late{number}", cost=100)
        served.append(queue.pop())
    turns = [served.index(f"heavy{number}") for number in range(1, 6)]
    assert all(later - earlier <= 4 * 16 for earlier, later in itertools.pairwise(turns))


def test_what_is_put_back_goes_first_and_costs_nothing_more() -> None:
    queue = filled(("a", 10), ("b", 10), ("b", 10))
    first, second = queue.pop(), queue.pop()
    queue.put_back(first)
    queue.put_back(second)
    assert len(queue) == 3
    assert sorted(queue.items()) == ["a1", "b1", "b2"]
    assert drained(queue) == ["a1", "b1", "b2"]


def test_what_nobody_wants_any_more_leaves_without_moving_others() -> None:
    queue = filled(("a", 10), ("b", 300), ("b", 10), ("c", 10))
    queue.put_back("x")
    assert sorted(queue.remove(lambda item: item in {"a1", "b1", "x"})) == ["a1", "b1", "x"]
    assert drained(queue) == ["b2", "c1"]
    assert queue.peek() is None


@pytest.mark.parametrize("seed", range(20))
def test_the_number_ahead_is_that_of_the_turns_until_ones_own(seed: int) -> None:
    draw = random.Random(seed)
    people = [draw.choice("aaaabbcd") for _ in range(30)]
    order = drained(filled(*((person, QUANTUM) for person in people)))
    numbers: Counter[str] = Counter()
    for place, person in enumerate(people):
        numbers[person] += 1
        assert ahead(people, place) == order.index(f"{person}{numbers[person]}")
