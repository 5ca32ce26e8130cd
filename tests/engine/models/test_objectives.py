"""Log-probabilities and the loss, against slow arithmetic."""

import math

import pytest
import torch

from engine.api.types import Message
from engine.models.loader import load_base
from engine.models.logprobs import (
    Encoded,
    collate,
    encode,
    log_probs,
    micro_batches,
)
from engine.training.kto import balanced_weights, kl_baseline, kto_loss
from tests.support.learning.learning_fixtures import save_tiny_model

ROWS = [Encoded((3, 70, 71, 0, 4), (80, 81, 0)), Encoded((3, 72, 4), (90, 91, 92, 0)), Encoded((3, 4), (7, 0))]


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_log_probs_are_sums_over_the_completion_only(tmp_path, architecture):
    base = load_base(str(save_tiny_model(tmp_path, architecture)))
    expected = []
    for row in ROWS:
        ids = torch.tensor([[*row.prompt, *row.completion]])
        scores = base.model(ids).logits[0].float().log_softmax(-1)
        expected.append(sum(scores[t - 1, ids[0, t]].item() for t in range(len(row.prompt), len(row))))
    batch = collate(ROWS, pad_id=1, device=base.model.device)
    assert log_probs(base.model, batch).tolist() == pytest.approx(expected, abs=1e-4)


def test_a_text_is_read_as_serving_wrote_it(tmp_path):
    base = load_base(str(save_tiny_model(tmp_path)))
    messages = (Message("system", "Write."), Message("user", "tea"))
    row = encode(base, messages, "warm <|end|> 茶")
    assert list(row.prompt) == base.template.encode(messages)
    assert row.completion[-1] == base.tokenizer.eos_token_id
    assert base.tokenizer.eos_token_id not in row.completion[:-1]
    assert base.tokenizer.decode(list(row.completion[:-1])) == "warm <|end|> 茶"


def test_micro_batches_hold_every_row_once_within_the_limits():
    rows = [Encoded((1,) * (i % 7 + 1), (2,) * (i % 5 + 1)) for i in range(50)]
    groups = list(micro_batches(rows, size=8, max_tokens=40))
    assert sorted(i for group in groups for i in group) == list(range(50))
    assert all(len(group) <= 8 and len(group) * max(len(rows[i]) for i in group) <= 40 for group in groups)


def test_a_row_longer_than_the_limit_goes_alone():
    rows = [Encoded((1,), (2,)), Encoded((1,) * 30, (2,) * 30)]
    assert list(micro_batches(rows, size=8, max_tokens=40)) == [[0], [1]]


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
