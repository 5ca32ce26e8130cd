"""Measuring a version by its replies: how far they are from the base's, and how a judge likes them.

The judge is fitted on ratings that the candidate has not learned from. They are divided by prompt: the learner, a
preference head on the larger part, is what the candidate follows. The judge is a second head on the smaller part, which
takes the learner's log-odds as one more feature (stacking: Wolpert 1992): a hundred ratings are few for a head of their
own, but they tell how far the learner can be believed. Where the learner has learned noise its opinion gets a weight of
about 0, and no candidate seems better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModelForCausalLM
from torch import Tensor

from engine.evaluation.probes import is_proper_answer, paired_golden
from engine.evaluation.sampling import Replies
from engine.models import distributed
from engine.models.loader import Base
from engine.models.logprobs import Encoded, Predictions, shared_batches
from engine.preference.features import Array, text_features
from engine.preference.head import Labels, PreferenceHead, Signal, fit, sigmoid
from engine.runs.config import RunConfig
from engine.runs.promotion_gate import Estimate, Measurements
from engine.runs.run_dir import Comparison
from engine.runs.text_metrics import TextMeasures, count_pairs, measure_texts
from engine.safety.filter import Findings

JUDGED_ONE_IN = 4  # the ratings of one prompt in so many are the judge's alone
JUDGE_DRAWS = 400  # heads drawn from the judge's posterior
SHOWN = 5  # pairs of replies that the report shows


@dataclass(frozen=True, slots=True)
class Judge:
    """Both heads."""

    learner: PreferenceHead
    own: PreferenceHead

    def learner_liking(self, features: Array, *, count: int, seed: int) -> Tensor:
        """The chance of a like by the learner, (n,), the mean over draws from its posterior."""
        return torch.from_numpy(sigmoid(self.learner.draws(features, count=count, seed=seed)).mean(0))

    def draws(self, features: Array, *, count: int, seed: int) -> Tensor:
        """Chances of a like under `count` draws of the judge, (count, n)."""
        logits = self.own.draws(features, count=count, seed=seed, opinion=self.learner.logits(features))
        return torch.from_numpy(sigmoid(logits))


def is_judged(group: str) -> bool:
    """Whether the ratings of a prompt, by `engine.api.types.group_of`, are the judge's."""
    return int(group, 16) % JUDGED_ONE_IN == 0


def fit_judge(features: Array, labels: Labels, judged: NDArray[np.bool_]) -> Judge:
    """Fit both heads on (n, d) features; `judged`, (n,) bool, marks the judge's part, the rest is the learner's."""
    learner = fit(features[~judged], labels.part(~judged))
    return Judge(learner, fit(features[judged], labels.part(judged), opinion=learner.logits(features[judged])))


def some_on_each_side(labels: Labels, judged: NDArray[np.bool_], *, fewest: int) -> bool:
    """Whether both parts have at least so many likes and dislikes."""
    likes = [labels.likes[part] for part in (judged, ~judged)]
    return all(min(int((part > 0.5).sum()), int((part < 0.5).sum())) >= fewest for part in likes)


@torch.no_grad()
def divergence(model: PeftModelForCausalLM, base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> Tensor:
    """KL(candidate || base) along each reply, (n,), nats a text.

    Summed exactly over the vocabulary at every token of the candidate's own samples, which is unbiased and far
    steadier than the sampled tokens' log-ratio. Of a model that writes from noise it is an upper bound.
    """
    totals = torch.zeros(len(rows))
    for group, batch in shared_batches(base, rows, max_tokens=max_tokens):
        policy = Predictions(model, batch)
        with model.disable_adapter():
            reference = Predictions(model, batch)
        per_token = policy.kl_divergence(reference)  # (N,)
        sums = torch.zeros(len(group), device=per_token.device).index_add(0, policy.rows, per_token)
        totals[torch.tensor(group)] = sums.cpu()
    # By the chain rule: of the noise, and of the texts once the noise is given.
    noise = [base.family.noise_kl(base.model, row.prompt) for row in rows]
    return distributed.total(totals) + torch.tensor(noise)


@torch.no_grad()
def cross_entropy(base: Base, rows: Sequence[Encoded], *, max_tokens: int) -> float:
    """The base's surprise at the rows' completions, nats a token, over all tokens."""
    total = 0.0
    for _, batch in shared_batches(base, rows, max_tokens=max_tokens):
        total -= float(Predictions(base.model, batch).log_probs().sum())
    tokens = sum(len(row.completion) for row in rows)
    return float(distributed.total(torch.tensor(total, dtype=torch.float64))) / max(1, tokens)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one version's replies are like."""

    replies: Replies
    liking: Tensor  # (S, n): the chance of a like of each reply under each draw of the judge
    fluency: float  # the base's cross-entropy, nats a token
    golden: tuple[bool, ...]  # which golden prompts it answers properly
    golden_replies: Replies
    golden_liking: Tensor  # (G,): the chance of a like of each
    unsafe: float  # share of the replies in which the safety filter finds something

    def text_measures(self, pairs: int, rated_texts: Sequence[str]) -> TextMeasures:
        """How the replies read, with the diversity of so many pairs of tokens."""
        completions = [row.completion for row in self.replies.rows]
        return measure_texts(
            self.replies.texts, completions, fluency=self.fluency, pairs=pairs, rated_texts=rated_texts
        )


@torch.no_grad()
def evaluate(
    base: Base, judge: Judge, replies: Replies, golden: Replies, config: RunConfig, findings: Findings
) -> Evaluation:
    """Read a version's replies to the logged and to the golden prompts with the base, whose adapters must be off.

    Which heads are drawn depends on the run's seed only, so that both versions meet the same ones.
    """

    def liking(texts: Sequence[str]) -> Tensor:
        features = text_features(texts)
        return distributed.by_first(lambda: judge.draws(features, count=JUDGE_DRAWS, seed=config.seed))

    proper = tuple(
        is_proper_answer(golden.prompts[owner].messages, text, ended=row.completion[-1] in base.end_tokens)
        for owner, text, row in zip(golden.owners, golden.texts, golden.rows, strict=True)
    )
    return Evaluation(
        replies=replies,
        liking=liking(replies.texts),
        fluency=cross_entropy(base, replies.rows, max_tokens=config.max_batch_tokens),
        golden=proper,
        golden_replies=golden,
        golden_liking=liking(golden.texts).mean(0),
        unsafe=sum(bool(findings(text)) for text in replies.texts) / len(replies.texts),
    )


def compare(
    base: Evaluation,
    champion: Evaluation,
    candidate: Evaluation,
    *,
    kl: Tensor,
    signal: Signal,
    held_out: float,
    logged: Estimate | None,
    rated_texts: Sequence[str],
) -> Measurements:
    """The candidate against the champion by liking, and against the base by the rest.

    `kl` is the candidate's distance from the base along each reply, (n,), nats; the other fields as in `Measurements`.
    """
    pairs = min(count_pairs([row.completion for row in each.replies.rows]) for each in (base, candidate))
    kl = kl.sort().values
    prompts = champion.replies.prompts
    return Measurements(
        signal=signal.auroc,
        chance=signal.chance,
        gains=means_by_prompt(candidate.liking - champion.liking, champion.replies.owners).tolist(),
        people=[prompt.author for prompt in prompts],
        segments=[prompt.segments for prompt in prompts],
        held_out=held_out,
        logged=logged,
        kl=float(kl.mean()),
        kl_tail=float(kl[int(0.99 * (len(kl) - 1))]),
        golden=paired_golden(base.golden_replies.owners, base.golden, candidate.golden),
        unsafe=(base.unsafe, candidate.unsafe),
        base=base.text_measures(pairs, rated_texts),
        candidate=candidate.text_measures(pairs, rated_texts),
    )


def means_by_prompt(values: Tensor, owners: Sequence[int]) -> Tensor:
    """Means over the replies of each prompt, (S, P), from one value for each draw and reply, (S, n)."""
    prompts = torch.tensor(owners)
    sums = torch.zeros((len(values), int(prompts.max()) + 1), dtype=values.dtype)
    return sums.index_add(1, prompts, values) / torch.bincount(prompts)


def pairs_to_show(before: Evaluation, after: Evaluation) -> tuple[Comparison, ...]:
    """Pairs from the worst change to the best, evenly by rank, so that nobody is shown only triumphs.

    Replies to the golden prompts, for what people asked is nobody's to read in a report.
    """
    ranked = (after.golden_liking - before.golden_liking).argsort().tolist()
    chosen = dict.fromkeys(ranked[round(i * (len(ranked) - 1) / (SHOWN - 1))] for i in range(SHOWN))
    old, new = before.golden_replies, after.golden_replies
    return tuple(
        Comparison(
            old.prompts[old.owners[i]].messages[-1].content,
            old.texts[i],
            new.texts[i],
            float(before.golden_liking[i]),
            float(after.golden_liking[i]),
        )
        for i in chosen
    )
