"""The on-policy stage: its arithmetic by hand, and a tiny model that learns what an obvious reward likes."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import RunError
from engine.evaluation.metrics import divergence
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.loader import load_base
from engine.models.logprobs import Encoded
from engine.runs.config import RunConfig
from engine.training.rloo import DiversityControl, budget_left, leave_one_out, novelty, train_on_policy
from engine.training.stage import Checkpoints, Curves, TrainingStage, add_adapter, trained_parameters
from tests.support.learning.learning_fixtures import rated

CONFIG = RunConfig(lora_rank=8, max_new_tokens=16, policy_steps=15, policy_prompts=12, learning_rate=5e-3, threads=1)


def test_an_advantage_is_what_a_take_has_over_its_siblings():
    rewards = torch.tensor([1.0, 0.0, 0.5, 0.5], dtype=torch.float64)
    advantages = leave_one_out(rewards, (0, 0, 1, 1))
    assert advantages[0] == -advantages[1] > 0.0
    assert advantages[2:].tolist() == [0.0, 0.0]
    assert advantages.std(correction=0) == pytest.approx(1.0)


def test_a_take_without_siblings_or_among_equals_teaches_nothing():
    assert leave_one_out(torch.tensor([1.0, 0.3, 0.3]), (0, 1, 1)).tolist() == [0.0, 0.0, 0.0]


def test_novelties_add_up_to_the_number_of_different_pairs():
    rows = [Encoded((1,), tokens) for tokens in ((1, 2, 3, 4), (1, 2, 3, 9), (5, 6, 5, 6))]
    values = novelty(rows)
    pairs = torch.tensor([3.0, 3.0, 3.0], dtype=torch.float64)
    assert float((values * pairs).sum()) == pytest.approx(6.0)  # 12 23 34 39 56 65
    assert values[0] == values[1]


def test_what_is_left_is_that_of_the_scarcer_budget():
    assert budget_left(0.0, 1.0) == 1.0
    assert budget_left(0.5, 1.2) == 0.5
    assert budget_left(0.1, 0.95) == pytest.approx(0.5)
    assert budget_left(1.1, 1.0) < 0.0 and budget_left(0.0, 0.89) < 0.0


def likes_a(replies: Replies) -> Tensor:
    return torch.tensor([text.count("a") / max(1, len(text)) for text in replies.texts], dtype=torch.float64)


def follow(taught: Path, liking, **changes: object) -> tuple[Curves, float, float]:
    """Train, and return the curves and the reward before and after."""
    config = replace(CONFIG, base=str(taught), **changes)
    base = load_base(str(taught))
    prompts = [Prompt.of(base, rated(i, "x", 1.0).messages) for i in range(24)]
    model = add_adapter(base, config)

    def write(chosen, count, seed) -> Replies:
        return sample_replies(model, base, chosen, config=config, count=count, seed=seed)

    def measure_kl() -> float:
        return float(divergence(model, base, write(prompts, 32, 1).rows, max_tokens=4000).mean())

    stage = TrainingStage(
        base, model, config, prompts, write, liking, Checkpoints(trained_parameters(model)), time.monotonic() + 600,
        measure_kl, config.kl_budget, lambda *_: None, Curves(),
    )  # fmt: skip
    before = float(liking(write(prompts, 96, 7)).mean())
    train_on_policy(stage)
    return stage.curves, before, float(liking(write(prompts, 96, 7)).mean())


def test_what_is_liked_is_written_more(taught, monkeypatch):
    monkeypatch.setattr("engine.training.rloo.LEAST_DIVERSITY", 0.0)  # so tiny a model's is a matter of chance
    curves, before, after = follow(taught, likes_a, novelty_weight=0.0)
    assert after > before + 0.1
    assert curves.kl[-1] <= CONFIG.kl_budget


def test_the_kl_budget_is_kept_however_large_the_steps(taught):
    curves, *_ = follow(taught, likes_a, learning_rate=5e-2, kl_budget=0.3, novelty_weight=0.0)
    assert curves.kl[-1] <= 0.3
    assert max(curves.kl) > 0.3


def test_nothing_moves_where_all_takes_are_liked_alike(taught):
    curves, *_ = follow(taught, lambda replies: torch.full((len(replies.texts),), 0.5).double(), novelty_weight=0.0)
    assert curves.kl[-1] < 0.01


def test_a_loss_that_is_no_number_is_a_sentence(taught):
    with pytest.raises(RunError, match="not a finite number"):
        follow(taught, lambda replies: torch.full((len(replies.texts),), math.nan).double())


def test_novelty_counts_more_while_diversity_is_short():
    def alike(different: int) -> Replies:
        rows = tuple(Encoded((1,), (i % different, 7, i % different)) for i in range(20))
        return Replies(rows, ("",) * 20, (Prompt((1,)),), (0,) * 20)

    def reach(control: DiversityControl) -> float:
        return float(control.advantages(unlike).abs().max())

    rows = tuple(Encoded((1,), tokens) for tokens in ((1, 2, 3), (1, 2, 3), (4, 5, 6)))
    unlike = Replies(rows, ("",) * 3, (Prompt((1,)),), (0,) * 3)
    control = DiversityControl(0.5, alike(20))
    before = reach(control)
    control.update(alike(18))
    assert control.share == pytest.approx(0.9, abs=0.01)
    short = reach(control)
    assert short > before
    control.update(alike(20))
    assert control.share == 1.0
    assert reach(control) < short
