"""Training the starter: a small Llama from scratch on tokenized conversations, within a budget of minutes.

Only what the assistant says carries loss. The matrices inside are updated by Muon, the rest by AdamW.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recipes.starter.tokenizer import ASSISTANT, token_id
from recipes.training import Budget, TrainingClock, batches_of_alike

CONTEXT = 1024
_MATRIX_RATE = 5.0
"""Muon's learning rate by AdamW's."""
_WARM_UP = 0.02
"""The share of the budget in which the learning rates rise."""
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration of Muon's article."""


def new_model(
    tokenizer: PreTrainedTokenizerFast, *, seed: int, width: int = 192, layers: int = 4, heads: int = 6,
    key_value_heads: int = 6, feed_forward: int = 512,
) -> LlamaForCausalLM:  # fmt: skip
    """A model with random weights; input and output embeddings are one, which helps copying."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.02,
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sequences: Sequence[Sequence[int]], budget: Budget,
    *, checkpoint: Callable[[], None] | None = None,
) -> tuple[TrainingClock, int]:  # fmt: skip
    """Train in place until the budget is spent, on whole conversations as token ids; in eval mode afterwards.

    `checkpoint` is called now and then, to keep what there is. Returns what the clock has counted, and how many tokens
    were read, padding left out.
    """
    assistant, end, pad = token_id(tokenizer, ASSISTANT), tokenizer.eos_token_id, tokenizer.pad_token_id
    optimizers = _optimizers(model, budget.learning_rate)
    clock, tokens = TrainingClock(budget), 0
    model.train()
    lengths = [len(sequence) for sequence in sequences]
    for group in batches_of_alike(lengths, budget.batch, seed=budget.seed, spread=8.0, is_padded=True):
        rows = [torch.tensor(sequences[i]) for i in group]
        ids = pad_sequence(rows, batch_first=True, padding_value=pad)  # (B, T)
        loss = assistant_loss(model, ids, assistant=assistant, end=end)
        loss.backward()
        _update(model, optimizers, _schedule(clock.spent))
        tokens += sum(map(len, rows))
        clock.tick(loss=loss.item())
        if checkpoint is not None and clock.steps % 500 == 0:
            checkpoint()
        if clock.spent >= 1.0:
            break
    model.eval()
    return clock, tokens


def _update(model: LlamaForCausalLM, optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """One step of every optimizer at this share of its peak learning rate; the gradients are gone afterwards."""
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def assistant_loss(model: LlamaForCausalLM, ids: torch.Tensor, *, assistant: int, end: int) -> torch.Tensor:
    """Mean cross-entropy in nats over what the assistant says, the end of its turn included.

    Args:
        ids: token ids, right-padded, of shape (B, T).
        assistant: the token that opens a turn of the assistant.
        end: the token that closes it.
    """
    opened = (ids == assistant).cumsum(1)
    closed = (ids == end).cumsum(1)
    speaking = (opened > closed)[:, :-1]  # (B, T - 1): positions whose next token the assistant says
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state  # (B, T - 1, D)
    logits = model.lm_head(hidden[speaking])  # (N, V); only where there is loss, to save time
    return functional.cross_entropy(logits, ids[:, 1:][speaking])


def _optimizers(model: LlamaForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside, AdamW for the embedding and the norms; each group keeps its peak rate as `peak`."""
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    muon = Muon(inside, lr=_MATRIX_RATE * rate, weight_decay=0.01)
    adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def _schedule(spent: float) -> float:
    """Linear rise, then half a cosine down to 2 %."""
    if spent < _WARM_UP:
        return (spent + 0.1 * _WARM_UP) / (1.1 * _WARM_UP)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - _WARM_UP) / (1 - _WARM_UP))))


class Muon(torch.optim.Optimizer):
    """Updates W by -lr * max(1, rows / columns) ** 0.5 * orthogonalised Nesterov momentum.

    Keller Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". torch.optim.Muon does the same
    in bfloat16, which most CPUs only emulate.
    """

    def __init__(
        self, matrices: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group)

    def _update(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].lerp_(gradient, 1 - momentum)
        update = orthogonal(gradient.lerp(state["momentum"], momentum))
        rows, columns = matrix.shape
        matrix.mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix, nearly: singular values come to between about 0.7 and 1.2.

    Args:
        matrix: of shape (m, n).
        steps: Newton-Schulz iterations.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (torch.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
