"""One run, from the loaded base to the report: fit a judge, train a candidate, hear both versions, decide, save.

Knows run folders, ratings and models. Knows nothing of Telegram or the database.
"""

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from peft import PeftModelForCausalLM
from torch import Tensor

from engine.data.dataset import DataCard, Example, segments_of
from engine.evaluation.judge import fit_judge, is_judged, some_on_each_side
from engine.evaluation.metrics import divergence
from engine.evaluation.probes import plant
from engine.evaluation.sampling import Prompt, Replies
from engine.models import distributed
from engine.models.layers import use_fast_attention
from engine.models.loader import load_base
from engine.models.logprobs import Encoded, encode
from engine.preference.features import require_finite, text_features
from engine.preference.head import find_signal, labels_of
from engine.runs.config import RunConfig
from engine.runs.promotion_gate import MIN_MINORITY, reason_to_skip, without_signal
from engine.runs.run_dir import ADAPTER_FOLDER, METRICS_FILE, Progress, Reason, RunReport, Stage, append_progress
from engine.training.candidate import CANDIDATE, Evidence, Hearing
from engine.training.checkpoints import Trail
from engine.training.kto import (
    Course,
    Curves,
    TrainingSet,
    add_adapter,
    balanced_weights,
    fit_adapter,
    rated_steps,
    reference_log_probs,
    step_size,
    trained_parameters,
)
from engine.training.rloo import Rewarding, follow_taste

KL_PROBES = 64
"""Replies sampled to measure the KL on the way."""
LEARNER_DRAWS = 64


class Trainer:
    """One run: its settings, its model, and where it reports to."""

    def __init__(self, run_dir: Path, config: RunConfig) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._dir = run_dir
        self._config = config
        self._progress("loading", 0, 1)
        self._base = load_base(config.base)
        use_fast_attention(self._base.model)
        self._deadline = time.monotonic() + 60.0 * config.max_minutes

    def train_and_judge(self, examples: Sequence[Example], card: DataCard) -> RunReport:
        """Everything between the loaded base and the report."""
        everything = len(examples)
        examples, rows = self._encode(examples)
        card = replace(card, dropped={**card.dropped, "too_long": everything - len(examples)})
        evidence = self._study(examples, rows, card)
        if isinstance(evidence, RunReport):
            return evidence
        prompts = self._replayed(examples)
        hearing = Hearing(self._base, self._config, prompts, evidence)
        self._progress("reference", 4, 4)
        curves, model, trail = self._fit(evidence, prompts, hearing)
        verdict, shown = hearing.judge_candidate(
            model, trail, lambda done, total: self._progress("judging", done, total)
        )
        self._save(model)
        self._progress("report", 1, 1)
        return RunReport(
            passed=verdict.passed,
            reason=verdict.reason,
            checks=verdict.checks,
            segments=verdict.segments,
            curves={"loss": tuple(curves.loss), "liking": tuple(curves.liking), "kl": tuple(curves.kl)},
            examples=shown,
            groups=hearing.groups,
            card=card,
        )

    def _encode(self, examples: Sequence[Example]) -> tuple[list[Example], list[Encoded]]:
        """The examples that are short enough, and their tokens."""
        longest = min(self._config.max_length, self._base.context_tokens)
        pairs = [(example, encode(self._base, example.messages, example.text)) for example in examples]
        kept = [(example, row) for example, row in pairs if len(row) <= longest]
        return [example for example, _ in kept], [row for _, row in kept]

    def _study(self, examples: Sequence[Example], rows: Sequence[Encoded], card: DataCard) -> Evidence | RunReport:
        """Fit the judge; a report instead, where the ratings do not allow it."""
        config = self._config
        self._progress("reference", 0, 4)
        judged = torch.tensor([is_judged(example.group) for example in examples], dtype=torch.bool)
        labels = labels_of([e.value for e in examples], [e.weight for e in examples], [e.group for e in examples])
        reason = reason_to_skip(examples, card.raters, config)
        if reason is not None:
            return RunReport(passed=False, reason=reason, card=card)
        features = require_finite(text_features(self._base, rows, max_tokens=config.max_batch_tokens))
        self._progress("reference", 1, 4)
        signal = distributed.by_first(lambda: find_signal(features, labels, seed=config.seed))
        refusal = without_signal(signal.auroc, signal.chance, config.gate)
        if refusal is not None:
            return RunReport(passed=False, reason=refusal.reason, checks=refusal.checks, card=card)
        if not some_on_each_side(labels, judged, fewest=MIN_MINORITY):  # so few that nobody could judge a candidate
            return RunReport(passed=False, reason=Reason("no_signal", {"signal": signal.auroc}), card=card)
        references = reference_log_probs(self._base.model, self._base, rows, max_tokens=config.max_batch_tokens)
        self._progress("reference", 2, 4)  # the other half is writing what the base is heard by
        return Evidence(
            examples=examples,
            rows=rows,
            judged=judged,
            references=references,
            signal=signal,
            judge=distributed.by_first(lambda: fit_judge(features, labels, judged)),
            canaries=plant(self._base, seed=config.seed),
        )

    def _replayed(self, examples: Sequence[Example]) -> list[Prompt]:
        """The prompts that were rated, each once, in random order."""
        segments = segments_of(examples)
        by_group = {
            example.group: Prompt.of(
                self._base, example.messages, author=example.author, segments=segments[example.group]
            )
            for example in examples
        }
        groups = sorted(by_group)
        random.Random(self._config.seed).shuffle(groups)
        return [by_group[group] for group in groups]

    def _fit(
        self, evidence: Evidence, prompts: Sequence[Prompt], hearing: Hearing
    ) -> tuple[Curves, PeftModelForCausalLM, Trail]:
        """The two stages: the rated texts, then what the learner likes among the candidate's own."""
        config = self._config
        model = add_adapter(self._base, config)
        trail = Trail(trained_parameters(model))
        taught = (~evidence.judged).nonzero()[:, 0].tolist()
        values = [evidence.examples[i].value for i in taught]
        given = [evidence.examples[i].weight for i in taught]
        weights = torch.tensor(balanced_weights(values, given))
        # A fresh adapter adds nothing, so these are the base's.
        secrets = reference_log_probs(model, self._base, evidence.canaries, max_tokens=config.max_batch_tokens)
        data = TrainingSet(
            rows=(*(evidence.rows[i] for i in taught), *evidence.canaries),
            signed_weights=torch.cat([weights, weights.abs().mean().expand(len(secrets))]),
            references=torch.cat([evidence.references[taught], secrets]),
            anchors=hearing.base.replies.rows,
        )

        def measure_kl() -> float:
            probes = hearing.write(model, prompts, KL_PROBES, config.seed + 1)
            distances = divergence(model, self._base, probes.rows, max_tokens=config.max_batch_tokens)
            return float(distances.mean())

        def liking(takes: Replies) -> Tensor:
            features = text_features(self._base, takes.rows, max_tokens=config.max_batch_tokens)
            return distributed.by_first(
                lambda: evidence.judge.learner_liking(features, count=LEARNER_DRAWS, seed=config.seed)
            )

        size, takes = step_size(len(data.rows), config), config.policy_prompts * config.takes
        first = rated_steps(len(data.rows), config)
        texts = first * size + config.policy_steps * takes

        def course(before: int, texts_a_step: int, kl_budget: float) -> Course:
            def report(step: int, loss: float) -> None:
                # In texts, for a rated one and a take cost about the same, the probes included.
                self._progress("training", before + step * texts_a_step, texts, loss)

            return Course(self._base, self._deadline, trail, kl_budget, measure_kl, report)

        follows = config.policy_steps > 0
        rewarding = Rewarding(partial(hearing.write, model), liking)
        budget = config.kl_budget * (self._base.family.kl_share if follows else 1.0)
        own = self._base.family.objective()
        if own is not None:
            curves: Curves = own(model, data, prompts, config, course(0, size, budget), rewarding)
        else:
            curves = fit_adapter(model, data, config, course(0, size, budget))
        if follows:
            follow_taste(model, prompts, config, course(first * size, takes, config.kl_budget), rewarding, curves)
        return curves, model, trail

    @distributed.first_only
    def _save(self, model: PeftModelForCausalLM) -> None:
        """Write the candidate's adapter so that it appears whole or not at all."""
        partial = self._dir / f"{ADAPTER_FOLDER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # The embeddings are the base's; looking for them would ask the hub.
        model.save_pretrained(str(partial), selected_adapters=[CANDIDATE], save_embedding_layers=False)
        (partial / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        partial.rename(self._dir / ADAPTER_FOLDER)

    @distributed.first_only
    def _progress(self, stage: Stage, done: int, total: int, loss: float | None = None) -> None:
        append_progress(self._dir / METRICS_FILE, Progress(stage, done, total, loss))
