"""Measuring a version by its replies: their distance from the base, and how the judge likes them.

Knows models, tokens and texts. Knows nothing of run folders or of what follows from the numbers:
`engine.runs.promotion_gate`
decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModelForCausalLM
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.evaluation.judge import Judge
from engine.evaluation.probes import GOLDEN_PROMPTS, manages
from engine.evaluation.sampling import Replies
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import Encoded, collate, completion_logits, completion_targets, micro_batches
from engine.preference.features import text_features
from engine.preference.head import Signal
from engine.runs.config import RunConfig
from engine.runs.promotion_gate import Estimate, Measurements
from engine.runs.run_dir import Comparison
from engine.runs.text_metrics import TextMeasures, count_pairs, measure_texts
from engine.safety.filter import Findings

JUDGE_DRAWS = 400
"""Heads drawn from the judge's posterior."""
SHOWN = 5
"""Pairs of replies that the report shows."""


@torch.no_grad()
def divergence(model: PeftModelForCausalLM, base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """KL(candidate || base) along each reply, (n,), nats a text.

    Summed exactly over the vocabulary at every token of the candidate's own samples, which is unbiased and far
    steadier than the sampled tokens' log-ratio. Of a model that writes from noise it is an upper bound.
    """
    totals = torch.zeros(len(rows))
    for group in distributed.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
        batch = collate([rows[i] for i in group], pad_id=base.pad_id, device=model.device)
        logits, owners = completion_logits(model, batch)
        with model.disable_adapter():
            base_logits, _ = completion_logits(model, batch)
        policy, reference = F.log_softmax(logits, dim=-1), F.log_softmax(base_logits, dim=-1)
        per_token = (policy.exp() * (policy - reference)).sum(-1)  # (N,)
        sums = torch.zeros(len(group), device=per_token.device).index_add(0, owners, per_token)
        totals[torch.tensor(group)] = sums.cpu()
    # By the chain rule: of the noise, and of the texts once the noise is given.
    noise = [base.family.noise_kl(model.get_base_model(), row.prompt) for row in rows]
    return distributed.total(totals) + torch.tensor(noise)


@torch.no_grad()
def cross_entropy(base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> float:
    """The base's surprise at the rows' completions, nats a token, over all tokens."""
    total = 0.0
    for group in distributed.share(list(micro_batches(rows, size=64, max_tokens=max_tokens))):
        batch = collate([rows[i] for i in group], pad_id=base.pad_id, device=base.model.device)
        logits, _ = completion_logits(base.model, batch)
        total += float(F.cross_entropy(logits, completion_targets(batch), reduction="sum"))
    tokens = sum(len(row.completion) for row in rows)
    return float(distributed.total(torch.tensor(total, dtype=torch.float64))) / max(1, tokens)


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What one version's replies are like."""

    replies: Replies
    liking: Tensor
    """(S, n): the chance of a like of each reply under each draw of the judge."""
    fluency: float
    """The base's cross-entropy, nats a token."""
    golden: float
    """Share of the golden prompts that it manages."""
    golden_replies: Replies
    golden_liking: Tensor
    """(G,): the chance of a like of each."""
    unsafe: float
    """Share of the replies in which the safety filter finds something."""


@torch.no_grad()
def appraise(
    base: Base, judge: Judge, replies: Replies, golden: Replies, config: RunConfig, findings: Findings
) -> Appraisal:
    """Read a version's replies to the logged and to the golden prompts with the base, whose adapters must be off.

    Which heads are drawn depends on the run's seed only, so that both versions meet the same ones.
    """
    features = text_features(base, replies.rows, max_tokens=config.max_batch_tokens)
    managed = [
        manages(messages, text, ended=row.completion[-1] in base.end_tokens)
        for messages, text, row in zip(GOLDEN_PROMPTS, golden.texts, golden.rows, strict=True)
    ]
    golden_features = text_features(base, golden.rows, max_tokens=config.max_batch_tokens)
    return Appraisal(
        replies=replies,
        liking=distributed.by_first(lambda: judge.draws(features, count=JUDGE_DRAWS, seed=config.seed)),
        unsafe=sum(bool(findings(text)) for text in replies.texts) / len(replies.texts),
        golden_replies=golden,
        golden_liking=distributed.by_first(
            lambda: judge.draws(golden_features, count=JUDGE_DRAWS, seed=config.seed).mean(0)
        ),
        fluency=cross_entropy(base, replies.rows, max_tokens=config.max_batch_tokens),
        golden=sum(managed) / len(managed),
    )


@dataclass(frozen=True, slots=True)
class Background:
    """What is measured beside the replies."""

    signal: Signal
    kl: Tensor
    """(n,): the candidate's distance from the base along each reply, nats."""
    held_out: float
    logged: Estimate | None
    rated_texts: Sequence[str]


def compare(base: Appraisal, before: Appraisal, after: Appraisal, background: Background) -> Measurements:
    """The candidate (`after`) against the champion (`before`) by liking, and against the base by the rest."""
    pairs = min(count_pairs([row.completion for row in each.replies.rows]) for each in (base, after))
    kl = background.kl.sort().values
    prompts = before.replies.prompts
    return Measurements(
        signal=background.signal.auroc,
        chance=background.signal.chance,
        gains=means_by_prompt(after.liking - before.liking, before.replies.owners).tolist(),
        people=[prompt.author for prompt in prompts],
        segments=[prompt.segments for prompt in prompts],
        held_out=background.held_out,
        logged=background.logged,
        kl=float(kl.mean()),
        kl_tail=float(kl[int(0.99 * (len(kl) - 1))]),
        golden=(base.golden, after.golden),
        unsafe=(base.unsafe, after.unsafe),
        base=_texts_of(base, pairs, background.rated_texts),
        candidate=_texts_of(after, pairs, background.rated_texts),
    )


def _texts_of(appraisal: Appraisal, pairs: int, rated_texts: Sequence[str]) -> TextMeasures:
    replies = appraisal.replies
    completions = [row.completion for row in replies.rows]
    return measure_texts(replies.texts, completions, fluency=appraisal.fluency, pairs=pairs, rated_texts=rated_texts)


def means_by_prompt(values: Tensor, owners: Sequence[int]) -> Tensor:
    """Means over the replies of each prompt, (S, P), from one value for each draw and reply, (S, n)."""
    prompts = torch.tensor(owners)
    sums = torch.zeros((len(values), int(prompts.max()) + 1), dtype=values.dtype)
    return sums.index_add(1, prompts, values) / torch.bincount(prompts)


def pairs_to_show(earlier: Appraisal, later: Appraisal) -> tuple[Comparison, ...]:
    """Pairs from the worst change to the best, evenly by rank, so that nobody is shown only triumphs.

    Replies to the golden prompts, for what people asked is nobody's to read in a report.
    """
    before, after = earlier.golden_replies, later.golden_replies
    liked_before, liked_after = earlier.golden_liking, later.golden_liking
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
