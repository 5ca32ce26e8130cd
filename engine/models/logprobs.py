"""What training minimises: log-probabilities of texts, and the loss that ratings put on them.

Knows token ids and numbers. Knows nothing of ratings' origin, files or the loop around it. Log-probabilities are sums
over the completion's tokens (the assistant's text and its end token), in float32, in nats.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModelForCausalLM
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)
from transformers import PreTrainedModel

from engine.data.dataset import Example
from engine.latent.slots import lift
from engine.models.chat_template import ChatTemplate
from engine.models.loader import Base
from engine.runs.config import RunConfig

CausalModel = PreTrainedModel | PeftModelForCausalLM


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


def encode(base: Base, template: ChatTemplate, example: Example) -> Encoded:
    """Tokenise a rated text exactly as serving read its prompt and wrote its answer."""
    text = lift(example.text, base.topic_of(example.messages))
    completion = base.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    prompt = template.encode(example.messages)
    return Encoded(tuple(prompt), (*completion, base.tokenizer.eos_token_id))


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


def kl_baseline(log_ratios: Tensor) -> Tensor:
    """KTO's reference point z0 = max(0, mean of log pi(y|x) - log pi_ref(y|x)), without gradient; a scalar.

    The paper (arXiv 2402.01306) takes the mean over mismatched pairs of prompt and text, at the price of
    two more forward passes; here it is the mean over the batch itself, as a trial found no loss by it.
    """
    return log_ratios.detach().mean().clamp(min=0.0)


def kto_loss(log_ratios: Tensor, signed_weights: Tensor, *, z0: Tensor, beta: float) -> Tensor:
    """The KTO loss of each row, (B,), with graded weights (L_KTO of arXiv 2402.01306).

    With r = log pi(y|x) - log pi_ref(y|x), sigma the logistic function and w the row's signed weight::

        w > 0 (liked):      w  (1 - sigma(beta (r - z0)))
        w < 0 (disliked):  |w| (1 - sigma(beta (z0 - r)))

    With w = lambda_D for every liked and -lambda_U for every disliked row this is the paper's loss.

    Args:
        log_ratios: r, (B,), nats.
        signed_weights: from `balanced_weights`, (B,).
        z0: scalar, from `kl_baseline`.
        beta: how little the policy may move; 0.1 in the paper.
    """
    advantage = beta * (log_ratios - z0) * signed_weights.sign()
    return signed_weights.abs() * (1.0 - torch.sigmoid(advantage))


def bco_loss(log_ratios: Tensor, signed_weights: Tensor, *, shift: Tensor, beta: float) -> Tensor:
    """Binary classifier optimisation, each row's, (B,): -|w| log sigma(+-beta (r - shift)), + for a like.

    Jung et al. 2024 (arXiv 2404.04656, equation 11), with the mean of the batch's r as the shift of the reward.
    """
    return -signed_weights.abs() * F.logsigmoid(beta * (log_ratios - shift) * signed_weights.sign())


def advantage_loss(log_ratios: Tensor, signed_weights: Tensor) -> Tensor:
    """Advantage-weighted regression, each row's, (B,): -exp(w) log pi(y|x) up to a constant.

    Peng et al. 2019 (arXiv 1910.00177, equation 4) with the signed weight as the advantage and temperature 1.
    """
    return -signed_weights.exp() * log_ratios


def rated_loss(log_ratios: Tensor, signed_weights: Tensor, *, everybodys: Tensor, config: RunConfig) -> Tensor:
    """The loss of each row, (B,), by `config.loss`; `everybodys` are the log-ratios of the whole piece, detached."""
    match config.loss:
        case "kto":
            return kto_loss(log_ratios, signed_weights, z0=kl_baseline(everybodys), beta=config.beta)
        case "bco":
            return bco_loss(log_ratios, signed_weights, shift=everybodys.mean(), beta=config.beta)
        case "advantage":
            return advantage_loss(log_ratios, signed_weights)


def balanced_weights(values: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Signed weights value x weight, balanced between likes and dislikes, of mean size 1.

    The paper's rule is lambda_D n_D / (lambda_U n_U) in [1, 4/3]; with graded weights the sums of |value| x weight
    stand for the counts n. A ratio already inside is left alone, otherwise likes are scaled to the nearer end.

    Args:
        values: in [-1, 1], at least one on each side of 0.
        weights: positive.
    """
    signed = [value * weight for value, weight in zip(values, weights, strict=True)]
    likes = sum(x for x in signed if x > 0.0)
    dislikes = -sum(x for x in signed if x < 0.0)
    ratio = likes / dislikes
    scale = min(max(ratio, 1.0), 4.0 / 3.0) / ratio
    balanced = [x * scale if x > 0.0 else x for x in signed]
    mean = sum(abs(x) for x in balanced) / len(balanced)
    return tuple(x / mean for x in balanced)


def _can_keep_logits(model: CausalModel) -> bool:
    base = model.get_base_model() if isinstance(model, PeftModelForCausalLM) else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters
