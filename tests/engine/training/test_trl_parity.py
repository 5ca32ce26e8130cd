"""Our KTO in its plain setting is TRL's: the trainer's own loss on the same batch, and its gradients."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.data.dataset import Example, examples_of
from engine.data.trl_format import kto_record
from engine.models.loader import Base, load_base
from engine.models.logprobs import CausalModel, Encoded, PaddedBatch, collate, encode, log_probs
from engine.runs.config import RunConfig
from engine.training.kto import kl_baseline, kto_loss
from engine.training.stage import add_adapter
from tests.support.learning.learning_fixtures import audience, save_tiny_model

BETA = 0.1
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    return examples_of(audience(24))[0][:12]


def fit_to(model: CausalModel, batch: PaddedBatch) -> None:
    """Move the adapter towards some texts, so that log-ratios and z0 are not 0."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        (-log_probs(model, batch).mean()).backward()
        optimizer.step()
    optimizer.zero_grad()


def gradients(model: CausalModel) -> Mapping[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def ours(model: CausalModel, base: Base, rows: list[Encoded], labels: list[bool]) -> Tensor:
    """The mean loss with weights of 1 and the paper's z0: completions moved on by one prompt."""
    pad_id = base.tokenizer.pad_token_id
    moved = [Encoded(row.prompt, rows[i - 1].completion) for i, row in enumerate(rows)]
    batch, other = (collate(some, pad_id=pad_id, device=torch.device("cpu")) for some in (rows, moved))
    with torch.no_grad():
        with model.disable_adapter():
            reference, other_reference = log_probs(model, batch), log_probs(model, other)
        z0 = kl_baseline(log_probs(model, other) - other_reference)
    assert z0 > 1.0, "it plays its part"
    signs = torch.tensor([1.0 if label else -1.0 for label in labels])
    return kto_loss(log_probs(model, batch) - reference, signs, z0=z0, beta=BETA).mean()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_loss_and_gradients_are_those_of_trl(tmp_path: Path, examples, architecture: str):
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer  # takes seconds, and only this test needs it

    folder = str(save_tiny_model(tmp_path / "model", architecture))
    base = load_base(folder)
    model = add_adapter(base, RunConfig(base=folder))
    settings = KTOConfig(
        output_dir=str(tmp_path / "trl"), beta=BETA, per_device_train_batch_size=len(examples), bf16=False,
        max_length=None, report_to=[], disable_tqdm=True, use_cpu=True, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = KTOTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list([kto_record(example) for example in examples]),
        processing_class=base.tokenizer,
    )
    rows = [encode(base, example.messages, example.text) for example in examples]
    # Only after the trainer has copied the fresh adapter, which changes nothing, as its reference.
    fit_to(model, collate(rows, pad_id=base.tokenizer.pad_token_id, device=torch.device("cpu")))
    trainer.model.eval()
    (inputs,) = trainer.get_train_dataloader()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = gradients(trainer.model)
    trainer.model.zero_grad()

    labels = [example.value > 0.0 for example in examples]
    assert sorted(inputs["label"].tolist()) == sorted(labels)
    own = ours(model, base, rows, labels)
    own.backward()
    mine = gradients(model)
    assert own.item() == pytest.approx(loss.item(), abs=TOLERANCE)
    assert mine.keys() == theirs.keys()
    largest = max(gradient.abs().max().item() for gradient in theirs.values())
    for name, gradient in theirs.items():
        torch.testing.assert_close(mine[name], gradient, rtol=0.0, atol=TOLERANCE * min(largest, 1.0))
