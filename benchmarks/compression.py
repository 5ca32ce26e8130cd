"""What QUANTIZE=int8 saves and what it costs: memory, speed, and how far the model's words move."""

import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.peers import TOPICS, save_qwen3
from benchmarks.served import serve
from benchmarks.tables import Table, middle, number
from bot.common.kinds import load_kinds
from engine.api.types import Sampling
from engine.inference.batch import Batch, Row
from engine.models.loader import Base, load_base, load_to_serve

REPETITIONS = 5
TEXTS, TOKENS = 200, 64


def measure() -> Table:
    """float32 beside int8, for both models."""
    with tempfile.TemporaryDirectory() as name:
        large = str(save_qwen3(Path(name) / "qwen3-99m"))
        rows = [*_rows("starter", "starter"), *_rows("Qwen3 99 M", large)]
    note = (
        f"Weights and inputs as int8 with a scale a row. Loss and KL over {TEXTS} texts of {TOKENS} tokens that the"
        " float32 model wrote, in nats a token; of random weights neither says much. Speeds and memory with 64 people"
        f" at once over HTTP, medians of {REPETITIONS}."
    )
    return Table("Compression", note, ["model", "", "float32", "int8", "int8 / float32", "goal"], rows)


def _rows(name: str, model: str) -> list[list[str]]:
    plain, small = load_base(model), load_to_serve(model, in_int8=True)
    sizes = [stored_bytes(base.model) / 2**20 for base in (plain, small)]
    losses, kl, agreement = _quality(plain, small)
    del plain, small
    tokens = TOKENS if model == "starter" else 16
    (speeds, memory), (fast, lean) = (asyncio.run(_served(model, kind, tokens)) for kind in ("none", "int8"))
    faster = statistics.median(fast) / statistics.median(speeds)
    return [
        [name, "weights, MiB", *map(number, sizes), f"{sizes[1] / sizes[0]:.2f}", "≤ 0.4"],
        ["", "memory of the engine, MiB", *map(number, (memory, lean)), f"{lean / memory:.2f}", ""],
        ["", "tokens a second", middle(speeds), middle(fast), f"{faster:.2f}", ""],
        ["", "loss, nats a token", *(f"{loss:.4f}" for loss in losses), f"{losses[1] / losses[0]:.4f}", ""],
        ["", "KL from float32, nats a token", "0", f"{kl:.5f}", "", ""],
        ["", "likeliest token is the same", "1", f"{agreement:.4f}", "", ""],
    ]


def stored_bytes(model: PreTrainedModel) -> int:
    """Of every tensor that the model's modules hold, each once; for models that are not packed."""
    held = [value for module in model.modules() for value in [*vars(module).values(), *module._parameters.values()]]
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in held if isinstance(tensor, Tensor)}.values())


@torch.inference_mode()
def _quality(plain: Base, small: Base) -> tuple[tuple[float, float], float, float]:
    losses, kls, same = [], [], []
    for ids, start in _texts(plain):
        exact, rough = (base.model(input_ids=ids).logits[0, start - 1 : -1].log_softmax(-1) for base in (plain, small))
        target = ids[0, start:].unsqueeze(1)
        losses.append([-log_probs.gather(1, target).mean().item() for log_probs in (exact, rough)])
        kls.append((exact.exp() * (exact - rough)).sum(-1).mean().item())
        same.append((exact.argmax(-1) == rough.argmax(-1)).float().mean().item())
    exact_loss, rough_loss = (sum(column) / len(losses) for column in zip(*losses, strict=True))
    return (exact_loss, rough_loss), sum(kls) / len(kls), sum(same) / len(same)


def _texts(base: Base) -> Sequence[tuple[Tensor, int]]:
    """Texts that the model itself writes to the kinds' prompts: all ids (1, length), and where the answer begins."""
    kinds = load_kinds(model=["starter"]).by_name.values()
    asked = [kind.messages(topic) for kind, topic in itertools.product(kinds, TOPICS)]
    prompts = [base.template.encode(messages) for messages in itertools.islice(itertools.cycle(asked), TEXTS)]
    rows = [Row(prompt, Sampling(seed=number)) for number, prompt in enumerate(prompts)]
    written = [text for start in range(0, TEXTS, 50) for text in _write(base, rows[start : start + 50])]
    return [(torch.tensor([[*p, *w]]), len(p)) for p, w in zip(prompts, written, strict=True)]


def _write(base: Base, rows: list[Row]) -> list[list[int]]:
    batch: Batch[Row] = Batch(base.model)
    steps = [batch.join(rows), *(batch.step() for _ in range(TOKENS - 1))]
    return [list(tokens) for tokens in zip(*steps, strict=True)]


async def _served(model: str, kind: str, tokens: int) -> tuple[list[float], float]:
    async with serve(model, "--quantize", kind) as engine:
        await engine.burst(4, tokens)
        speeds = [await engine.burst(64, tokens) for _ in range(REPETITIONS)]
        return speeds, engine.memory / 2**20
