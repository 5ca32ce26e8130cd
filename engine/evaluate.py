"""Measuring a version by its replies: their distance from the base, and how the judge likes them.

Knows models, tokens and texts. Knows nothing of run folders or of what follows from the numbers: `engine.gate` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModelForCausalLM
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine import ranks
from engine.dataset import Example
from engine.gate import Measurements
from engine.model import Base
from engine.objectives import (
    CausalModel,
    Encoded,
    collate,
    completion_logits,
    completion_targets,
    micro_batches,
)
from engine.replies import Replies
from engine.run import Comparison, RunConfig
from engine.taste import Labels, Signal, TasteHead, find_signal, fit, text_features
from engine.text_measures import count_pairs, measure_texts

JUDGE_DRAWS = 400
"""Heads drawn from the judge's posterior."""
SHOWN = 5
"""Pairs of replies that the report shows."""


@torch.no_grad()
def divergence(model: PeftModelForCausalLM, rows: Sequence[Encoded], *, pad_id: int, max_tokens: int) -> Tensor:
    """KL(candidate || base) along each reply, (n,), nats a text.

    Summed exactly over the vocabulary at every token of the candidate's own samples, which is unbiased and far
    steadier than the sampled tokens' log-ratio.
    """
    totals = torch.zeros(len(rows))
    for group in ranks.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
        batch = collate([rows[i] for i in group], pad_id=pad_id, device=model.device)
        logits, owners = completion_logits(model, batch)
        with model.disable_adapter():
            base_logits, _ = completion_logits(model, batch)
        policy, base = F.log_softmax(logits, dim=-1), F.log_softmax(base_logits, dim=-1)
        per_token = (policy.exp() * (policy - base)).sum(-1)  # (N,)
        sums = torch.zeros(len(group), device=per_token.device).index_add(0, owners, per_token)
        totals[torch.tensor(group)] = sums.cpu()
    return ranks.total(totals)


@torch.no_grad()
def cross_entropy(model: CausalModel, rows: Sequence[Encoded], *, pad_id: int, max_tokens: int) -> float:
    """The model's surprise at the rows' completions, nats a token, over all tokens."""
    total = 0.0
    for group in ranks.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
        batch = collate([rows[i] for i in group], pad_id=pad_id, device=model.device)
        logits, _ = completion_logits(model, batch)
        total += float(F.cross_entropy(logits, completion_targets(batch), reduction="sum"))
    tokens = sum(len(row.completion) for row in rows)
    return float(ranks.total(torch.tensor(total, dtype=torch.float64))) / max(1, tokens)


@dataclass(frozen=True, slots=True)
class Judge:
    """A taste head fitted on the ratings, and how far it can be trusted."""

    head: TasteHead
    signal: Signal


def fit_judge(base: Base, examples: Sequence[Example], rows: Sequence[Encoded], config: RunConfig) -> Judge:
    """Fit the taste head on rated texts and look for a signal in the ratings; `rows` are the examples' tokens."""
    features = text_features(
        base.model, rows, pad_id=int(base.tokenizer.pad_token_id), max_tokens=config.max_batch_tokens
    )
    numbers = {group: number for number, group in enumerate(sorted({example.group for example in examples}))}
    labels = Labels(
        likes=torch.tensor([(1.0 + example.value) / 2.0 for example in examples], dtype=torch.float64),
        # One full vote weighs 1/3 after shrinkage and counts as one observation here; no text counts as three.
        votes=torch.tensor([3.0 * example.weight for example in examples], dtype=torch.float64),
        groups=torch.tensor([numbers[example.group] for example in examples]),
    )
    return ranks.by_first(lambda: Judge(fit(features, labels), find_signal(features, labels, seed=config.seed)))


def likings(judge: Judge, base: Base, replies: Replies, config: RunConfig) -> Tensor:
    """The chance of a like of each reply under each draw of the judge, (S, n); adapters must be off.

    Which heads are drawn depends on the run's seed only, so that both versions meet the same ones.
    """
    features = text_features(
        base.model, replies.rows, pad_id=int(base.tokenizer.pad_token_id), max_tokens=config.max_batch_tokens
    )
    return ranks.by_first(lambda: judge.head.draws(features, count=JUDGE_DRAWS, seed=config.seed))


@torch.no_grad()
def compare_versions(
    model: PeftModelForCausalLM,
    base: Base,
    judge: Judge,
    before: Replies,
    after: Replies,
    *,
    config: RunConfig,
    rated_texts: Sequence[str],
) -> tuple[Measurements, tuple[Comparison, ...]]:
    """Measure the candidate's replies (`after`; its adapter is the one that is on) against the champion's."""
    limits = {"pad_id": int(base.tokenizer.pad_token_id), "max_tokens": config.max_batch_tokens}
    kl = divergence(model, after.rows, **limits).sort().values
    pairs = min(count_pairs([row.completion for row in replies.rows]) for replies in (before, after))
    liked, texts = [], []
    with model.disable_adapter():
        for replies in (before, after):
            liked.append(likings(judge, base, replies, config))
            texts.append(
                measure_texts(
                    replies.texts,
                    [row.completion for row in replies.rows],
                    fluency=cross_entropy(model, replies.rows, **limits),
                    pairs=pairs,
                    rated_texts=rated_texts,
                )
            )
    measured = Measurements(
        signal=judge.signal.auroc,
        chance=judge.signal.chance,
        gains=means_by_prompt(liked[1] - liked[0], before.owners).tolist(),
        kl=float(kl.mean()),
        kl_tail=float(kl[int(0.99 * (len(kl) - 1))]),
        champion=texts[0],
        candidate=texts[1],
    )
    return measured, _pairs_to_show(before, after, liked[0].mean(0), liked[1].mean(0))


def means_by_prompt(values: Tensor, owners: Sequence[int]) -> Tensor:
    """Means over the replies of each prompt, (S, P), from one value for each draw and reply, (S, n)."""
    prompts = torch.tensor(owners)
    sums = torch.zeros((len(values), int(prompts.max()) + 1), dtype=values.dtype)
    return sums.index_add(1, prompts, values) / torch.bincount(prompts)


def _pairs_to_show(
    before: Replies, after: Replies, liked_before: Tensor, liked_after: Tensor
) -> tuple[Comparison, ...]:
    """Pairs from the worst change to the best, evenly by rank, so that nobody is shown only triumphs."""
    ranked = (liked_after - liked_before).argsort().tolist()
    chosen = dict.fromkeys(ranked[round(i * (len(ranked) - 1) / (SHOWN - 1))] for i in range(SHOWN))
    return tuple(
        Comparison(
            before.prompts[before.owners[i]].shown,
            before.texts[i],
            after.texts[i],
            float(liked_before[i]),
            float(liked_after[i]),
        )
        for i in chosen
    )
