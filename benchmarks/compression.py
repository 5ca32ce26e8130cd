"""What QUANTIZE saves and what it costs: memory, speed, and how far the model's words move."""

import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.peers import TOPICS
from benchmarks.served import serve
from benchmarks.tables import Table, middle, number
from bot.common.kinds import load_kinds
from engine.api.models import SMOLLM2, STARTER, Quantize, packaged_smollm2
from engine.api.types import Sampling
from engine.convert import convert
from engine.inference.batch import Batch, Row
from engine.models.loader import Base, load_base, load_to_serve

KINDS: tuple[Quantize, ...] = ("none", "bfloat16", "int8")
REPETITIONS = 5
TEXTS, TOKENS = 200, 64


def measure() -> Table:
    """float32 beside bfloat16 and int8, for the starter and, where it is at hand, SmolLM2."""
    rows = _rows("starter", STARTER)
    if packaged_smollm2() is not None:
        with tempfile.TemporaryDirectory() as folder:
            rows += _rows("SmolLM2-135M", str(convert(SMOLLM2, Path(folder))))
    note = (
        "Weights and inputs as bfloat16, or as int8 with a scale a row. Loss and KL over"
        f" {TEXTS} texts of {TOKENS} tokens that the float32 model wrote, in nats a token. Speeds and memory with 64"
        f" people at once over HTTP, medians of {REPETITIONS}."
    )
    return Table("Compression", note, ["model", "", "float32", "bfloat16", "int8", "int8 / float32", "goal"], rows)


def _rows(name: str, model: str) -> list[list[str]]:
    plain = load_base(model)
    texts = _texts(plain)
    qualities = [_quality(plain, load_to_serve(model, quantize=kind), texts) for kind in KINDS]
    sizes = [stored_bytes(base.model) / 2**20 for base in (plain, load_to_serve(model, quantize="int8"))]
    del plain
    tokens = TOKENS if model == STARTER else 16
    served = [asyncio.run(_served(model, kind, tokens)) for kind in KINDS]
    speeds, memory = [statistics.median(each) for each, _ in served], [each for _, each in served]
    losses = [each.loss for each in qualities]
    return [
        [name, "weights, MiB", number(sizes[0]), "", number(sizes[1]), f"{sizes[1] / sizes[0]:.2f}", "≤ 0.4"],
        ["", "memory of the engine, MiB", *map(number, memory), f"{memory[-1] / memory[0]:.2f}", ""],
        ["", "tokens a second", *(middle(each) for each, _ in served), f"{speeds[-1] / speeds[0]:.2f}", ""],
        ["", "loss, nats a token", *(f"{loss:.4f}" for loss in losses), f"{losses[-1] / losses[0]:.4f}", ""],
        ["", "KL from float32, nats a token", *(f"{each.kl:.5f}" for each in qualities), "", ""],
        ["", "likeliest token is the same", *(f"{each.same:.4f}" for each in qualities), "", ""],
    ]


def stored_bytes(model: PreTrainedModel) -> int:
    """Of every tensor that the model's modules hold, each once; for models that are not packed."""
    held = [value for module in model.modules() for value in [*vars(module).values(), *module._parameters.values()]]
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in held if isinstance(tensor, Tensor)}.values())


class _Quality(NamedTuple):
    loss: float
    """Nats a token."""
    kl: float
    same: float
    """Share of the places where the likeliest token is the same."""


@torch.inference_mode()
def _quality(plain: Base, served: Base, texts: Sequence[tuple[Tensor, int]]) -> _Quality:
    found = []
    for ids, start in texts:
        exact, rough = (base.model(input_ids=ids).logits[0, start - 1 : -1].log_softmax(-1) for base in (plain, served))
        kl = (exact.exp() * (exact - rough)).sum(-1).mean()
        loss = -rough.gather(1, ids[0, start:].unsqueeze(1)).mean()
        found.append((loss.item(), kl.item(), (exact.argmax(-1) == rough.argmax(-1)).float().mean().item()))
    return _Quality(*(sum(column) / len(found) for column in zip(*found, strict=True)))


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
