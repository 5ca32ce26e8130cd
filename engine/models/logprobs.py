"""Answers as batches of token ids, and their log-probabilities under a model.

These are sums over the completion's tokens (the assistant's text and its end token, if it came), in float32, in nats.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.api.types import Message
from engine.models import distributed
from engine.models.loader import Base

CausalModel = nn.Module  # a PreTrainedModel, or PEFT's wrapper of one, which takes long to import

LARGE_VOCABULARY = 16_384
"""From so many tokens on, the logits of a batch are most of its memory, and are made and forgotten piece by piece."""
_PIECE = 256  # tokens whose logits exist at the same time
_CHANGED_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""What some configurations have done to the output layer's result; such models keep whole tables."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation and its answer as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]  # the text's tokens and the end token, which a text that was cut has none of

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


def encode(base: Base, messages: Sequence[Message], text: str, *, is_cut: bool = False) -> Encoded:
    """Tokenise an answer exactly as serving read its prompt and wrote it.

    One that was cut gets no end token: nobody has learned from it where a text ends.
    """
    written = base.family.as_written(text, messages)
    completion = base.tokenizer(written, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    end = () if is_cut else (base.tokenizer.eos_token_id,)
    return Encoded(tuple(base.template.encode(messages)), (*completion, *end))


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


OfLogits = Callable[[Tensor, slice], Tensor]
"""Logits (n, V) of a piece of a batch's completion tokens, and which they are -> one number for each, (n,)."""


class Predictions:
    """The logits that predict each completion token of a batch, in float32: (N, V), if they were ever whole.

    With a large vocabulary only what the output layer reads is kept, (N, d). The logits of a piece are computed when
    they are asked for, and so is their gradient: the gradient of a sum of numbers that depend on one token each is,
    token by token, that of its number times what comes from above, so that it can be had before anything comes from
    above (as Liger's fused cross-entropy does: Hsu et al. 2024, arXiv 2410.10989, section 3.2).
    """

    def __init__(self, model: CausalModel, batch: PaddedBatch) -> None:
        self._targets = batch.targets
        self._head = _large_head(model)
        if self._head is None:
            self._states, self.rows = completion_logits(model, batch)
            return
        inner: Any = getattr(model, "get_base_model", lambda: model)()
        output = inner.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        self._states = output.last_hidden_state[:, :-1][batch.completion_mask[:, 1:]]  # (N, d): one position earlier
        self.rows = batch.completion_mask.nonzero()[:, 0]

    rows: Tensor
    """Which row each token belongs to, (N,)."""

    def logits(self, piece: slice) -> Tensor:
        """Those of some of the tokens, (n, V)."""
        states = self._states[piece]
        return states if self._head is None else _logits(self._head, states)

    def each(self, number: OfLogits) -> Tensor:
        """A number of each token, (N,), with its gradient."""
        if self._head is None:
            return number(self._states, slice(0, len(self._states)))
        result: Tensor = _PieceByPiece.apply(self._states, self._head, number)  # type: ignore[no-untyped-call]
        return result

    def log_probs(self, temperatures: Tensor | None = None) -> Tensor:
        """The log-probability of each completion token, (N,); at temperatures of their own, (N, 1)."""

        def log_prob(logits: Tensor, piece: slice) -> Tensor:
            scaled = logits if temperatures is None else logits / temperatures[piece]
            return -F.cross_entropy(scaled, self._targets[piece], reduction="none")

        return self.each(log_prob)

    def kl_divergence(self, other: "Predictions", *, is_reverse: bool = False) -> Tensor:
        """KL to the other's distribution at each token, summed over the vocabulary, (N,), nats; or from it.

        Only this one's gradient is computed.
        """

        def kl(logits: Tensor, piece: slice) -> Tensor:
            own, others = F.log_softmax(logits, dim=-1), F.log_softmax(other.logits(piece), dim=-1)
            first, second = (others, own) if is_reverse else (own, others)
            return (first.exp() * (first - second)).sum(-1)

        return self.each(kl)


class _PieceByPiece(torch.autograd.Function):
    """`Predictions.each` for an output layer that is not trained."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: nn.Linear, number: OfLogits) -> Tensor:  # noqa: ANN401
        """(N, d) -> (N,)."""
        numbers, slopes = list[Tensor](), list[Tensor]()
        for start in range(0, len(states), _PIECE):
            piece = slice(start, min(start + _PIECE, len(states)))
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                leaf = states[piece].detach().requires_grad_(ctx.needs_input_grad[0])
                found = number(_logits(head, leaf), piece)
                if ctx.needs_input_grad[0]:
                    slopes += torch.autograd.grad(found.sum(), leaf)
            numbers.append(found.detach())
        ctx.save_for_backward(torch.cat(slopes) if slopes else states.new_zeros(0))
        return torch.cat(numbers) if numbers else torch.zeros(0, device=states.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        """(N,) -> (N, d)."""
        (slopes,) = ctx.saved_tensors
        return (gradients[0][:, None] * slopes).to(slopes.dtype), None, None


def _large_head(model: CausalModel) -> nn.Linear | None:
    """The output layer of a model, if its vocabulary is large and its result is the logits as they are."""
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    config, head = inner.config.get_text_config(), inner.get_output_embeddings()
    is_plain = all(getattr(config, name, None) in (None, 1.0) for name in _CHANGED_LOGITS)
    return head if is_plain and isinstance(head, nn.Linear) and head.out_features >= LARGE_VOCABULARY else None


def _logits(head: nn.Linear, states: Tensor) -> Tensor:
    """(n, d) -> (n, V), float32."""
    logits: Tensor = head(states)
    return logits.float()


def log_probs(model: CausalModel, batch: PaddedBatch) -> Tensor:
    """log p(completion | prompt) of each row, (B,)."""
    predictions = Predictions(model, batch)
    token_log_probs = predictions.log_probs()  # (N,)
    return torch.zeros(len(batch.input_ids), device=token_log_probs.device).index_add(
        0, predictions.rows, token_log_probs
    )


@torch.no_grad()
def sequence_log_probs(model: CausalModel, base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """log p(completion | prompt) of all rows, (n,), under `model`: the base's, or a wrapper with an adapter."""
    results = torch.zeros(len(rows))
    for group, batch in shared_batches(base, rows, max_tokens=max_tokens):
        results[torch.tensor(group)] = log_probs(model, batch).cpu()
    return distributed.total(results)
