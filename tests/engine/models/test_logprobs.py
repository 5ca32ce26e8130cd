"""Log-probabilities, against slow arithmetic."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from engine.api.types import Message
from engine.models import logprobs
from engine.models.loader import load_base
from engine.models.logprobs import (
    Encoded,
    Predictions,
    collate,
    completion_logits,
    encode,
    log_probs,
    micro_batches,
)
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


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3"])
def test_a_large_vocabulary_gives_the_same_numbers_and_gradients_piece_by_piece(tmp_path, architecture, monkeypatch):
    base = load_base(str(save_tiny_model(tmp_path, architecture)))
    settings = LoraConfig(target_modules="all-linear", init_lora_weights=False, fan_in_fan_out=architecture == "gpt2")
    model = get_peft_model(base.model, settings).eval()
    batch = collate(ROWS, pad_id=1, device=base.model.device)
    warmth = torch.linspace(0.5, 1.5, len(batch.targets))[:, None]

    def numbers_and_gradients() -> list[torch.Tensor]:
        model.zero_grad()
        with torch.no_grad(), model.disable_adapter():
            reference = Predictions(model, batch)
        policy = Predictions(model, batch)
        kl, back = policy.kl_divergence(reference), policy.kl_divergence(reference, is_reverse=True)
        drawn = policy.log_probs(warmth)
        (kl.square().sum() + back.exp().sum() - (torch.arange(len(drawn)) * drawn).sum()).backward()
        return [kl, back, drawn, *(each.grad for each in model.parameters() if each.requires_grad)]

    whole = numbers_and_gradients()
    monkeypatch.setattr(logprobs, "LARGE_VOCABULARY", 1)
    monkeypatch.setattr(logprobs, "_PIECE", 3)
    for before, after in zip(whole, numbers_and_gradients(), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_logits_that_a_model_changes_after_its_output_layer_stay_whole(tmp_path, monkeypatch):
    base = load_base(str(save_tiny_model(tmp_path)))
    monkeypatch.setattr(logprobs, "LARGE_VOCABULARY", 1)
    base.model.config.final_logit_softcapping = 30.0
    logits, _ = completion_logits(base.model, batch := collate(ROWS, pad_id=1, device=base.model.device))
    with torch.no_grad():
        assert torch.equal(Predictions(base.model, batch).logits(slice(0, None)), logits)


def test_a_text_that_was_cut_has_no_end_token(tmp_path):
    base = load_base(str(save_tiny_model(tmp_path)))
    messages = (Message("user", "tea"),)
    whole, cut = encode(base, messages, "warm"), encode(base, messages, "warm", is_cut=True)
    assert (*cut.completion, base.tokenizer.eos_token_id) == whole.completion
