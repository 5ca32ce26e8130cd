"""Answers as batches of token ids, and their log-probabilities under a model.

These are sums over the completion's tokens (the assistant's text and its end token), in float32, in nats.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.api.types import Message
from engine.models import distributed
from engine.models.loader import Base

CausalModel = nn.Module  # a PreTrainedModel, or PEFT's wrapper of one, which takes long to import


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation and its answer as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]  # the text's tokens and the end token

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Sequences padded on the right, where causal attention never looks, so that no position ids are needed."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T)
    completion_mask: Tensor  # (B, T), bool: the tokens whose probability counts

    @property
    def targets(self) -> Tensor:
        """The completion tokens themselves, (N,), row by row."""
        return self.input_ids[self.completion_mask]


def encode(base: Base, messages: Sequence[Message], text: str) -> Encoded:
    """Tokenise an answer exactly as serving read its prompt and wrote it."""
    written = base.family.as_written(text, messages)
    completion = base.tokenizer(written, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return Encoded(tuple(base.template.encode(messages)), (*completion, base.tokenizer.eos_token_id))


def collate(rows: Sequence[Encoded], *, pad_id: int, device: torch.device) -> PaddedBatch:
    """Pad the rows to one length, in the order given."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad_id)
    attention = torch.zeros((len(rows), length), dtype=torch.long)
    completion = torch.zeros((len(rows), length), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor((*row.prompt, *row.completion))
        attention[i, : len(row)] = 1
        completion[i, len(row.prompt) : len(row)] = True
    return PaddedBatch(ids.to(device), attention.to(device), completion.to(device))


def micro_batches(rows: Sequence[Encoded], *, size: int, max_tokens: int) -> Iterator[list[int]]:
    """Cut row numbers, shortest first, into groups of at most `size` rows and `max_tokens` padded tokens."""
    group: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if group and (len(group) == size or (len(group) + 1) * len(rows[index]) > max_tokens):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def shared_batches(
    base: Base, rows: Sequence[Encoded], *, max_tokens: int, size: int = 64
) -> Iterator[tuple[list[int], PaddedBatch]]:
    """This process's share of the rows in batches, each with its rows' numbers."""
    for group in distributed.share(list(micro_batches(rows, size=size, max_tokens=max_tokens))):
        yield group, collate([rows[i] for i in group], pad_id=base.pad_id, device=base.model.device)


def completion_logits(model: CausalModel, batch: PaddedBatch) -> tuple[Tensor, Tensor]:
    """The logits that predict each completion token, (N, V) in float32, and which row each belongs to, (N,).

    N counts all completion tokens of the batch, row by row. Only positions from the shortest prompt on pass through the
    output layer where the model allows it, which is most of the memory with a large vocabulary.
    """
    first = int(batch.completion_mask.int().argmax(dim=1).min())
    length = batch.input_ids.shape[1]
    inner = getattr(model, "get_base_model", lambda: model)()  # what PEFT's wrapper takes says nothing
    can_keep = "logits_to_keep" in inspect.signature(inner.forward).parameters
    kept = {"logits_to_keep": length - first + 1} if can_keep else {}
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False, **kept).logits
    mask = batch.completion_mask[:, first:]  # (B, T - first)
    predicting = logits[:, -(length - first + 1) : -1]  # (B, T - first, V): one position earlier
    return predicting[mask].float(), mask.nonzero()[:, 0]


def log_probs(model: CausalModel, batch: PaddedBatch) -> Tensor:
    """log p(completion | prompt) of each row, (B,)."""
    logits, rows = completion_logits(model, batch)
    token_log_probs = -F.cross_entropy(logits, batch.targets, reduction="none")  # (N,)
    return torch.zeros(len(batch.input_ids), device=logits.device).index_add(0, rows, token_log_probs)


@torch.no_grad()
def sequence_log_probs(model: CausalModel, base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """log p(completion | prompt) of all rows, (n,), under `model`: the base's, or a wrapper with an adapter."""
    results = torch.zeros(len(rows))
    for group, batch in shared_batches(base, rows, max_tokens=max_tokens):
        results[torch.tensor(group)] = log_probs(model, batch).cpu()
    return distributed.total(results)
