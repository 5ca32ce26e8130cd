"""Rated texts as batches of token ids, and their log-probabilities under a model.

Log-probabilities are sums over the completion's tokens (the assistant's text and its end token), float32, nats.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.api.types import Message
from engine.models.loader import Base

CausalModel = nn.Module  # a PreTrainedModel, or PEFT's wrapper of one, which takes long to import


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation and its answer as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """The text's tokens and the end token."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences padded on the right, where causal attention never looks, so that no position ids are needed."""

    input_ids: Tensor
    """(B, T)"""
    attention_mask: Tensor
    """(B, T)"""
    completion_mask: Tensor
    """(B, T), bool: the tokens whose probability counts."""


def encode(base: Base, messages: Sequence[Message], text: str) -> Encoded:
    """Tokenise an answer exactly as serving read its prompt and wrote it."""
    written = base.family.as_written(text, messages)
    completion = base.tokenizer(written, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return Encoded(tuple(base.template.encode(messages)), (*completion, base.tokenizer.eos_token_id))


def collate(rows: Sequence[Encoded], *, pad_id: int, device: torch.device) -> Batch:
    """Pad the rows to one length, in the order given."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad_id)
    attention = torch.zeros((len(rows), length), dtype=torch.long)
    completion = torch.zeros((len(rows), length), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor((*row.prompt, *row.completion))
        attention[i, : len(row)] = 1
        completion[i, len(row.prompt) : len(row)] = True
    return Batch(ids.to(device), attention.to(device), completion.to(device))


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


def completion_logits(model: CausalModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """The logits that predict each completion token, (N, V) in float32, and which row each belongs to, (N,).

    N counts all completion tokens of the batch, row by row. Only positions from the shortest prompt on pass through the
    output layer where the model allows it, which is most of the memory with a large vocabulary.
    """
    first = int(batch.completion_mask.int().argmax(dim=1).min())
    length = batch.input_ids.shape[1]
    kept = {"logits_to_keep": length - first + 1} if _can_keep_logits(model) else {}
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False, **kept).logits
    mask = batch.completion_mask[:, first:]  # (B, T - first)
    predicting = logits[:, -(length - first + 1) : -1]  # (B, T - first, V): one position earlier
    return predicting[mask].float(), mask.nonzero()[:, 0]


def completion_targets(batch: Batch) -> Tensor:
    """The completion tokens themselves, (N,), in the order of `completion_logits`."""
    return batch.input_ids[batch.completion_mask]


def log_probs(model: CausalModel, batch: Batch) -> Tensor:
    """log p(completion | prompt) of each row, (B,), nats, float32."""
    logits, rows = completion_logits(model, batch)
    token_log_probs = -F.cross_entropy(logits, completion_targets(batch), reduction="none")  # (N,)
    sums = torch.zeros(batch.input_ids.shape[0], device=logits.device)
    return sums.index_add(0, rows, token_log_probs)


def _can_keep_logits(model: CausalModel) -> bool:
    inner = getattr(model, "get_base_model", lambda: model)()  # what PEFT's wrapper takes says nothing
    return "logits_to_keep" in inspect.signature(inner.forward).parameters
