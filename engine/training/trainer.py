"""One run, from the loaded base to the report: fit a judge, train a candidate, evaluate it, decide, save."""

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from peft import PeftModelForCausalLM
from torch import Tensor

from engine.data.dataset import DataCard, Example, segments_of
from engine.errors import ModelError
from engine.evaluation.metrics import fit_judge, is_judged, some_on_each_side
from engine.evaluation.probes import plant_secrets
from engine.evaluation.sampling import Prompt, Replies
from engine.models import distributed
from engine.models.layers import is_large
from engine.models.loader import load_to_train
from engine.models.logprobs import Encoded, encode, sequence_log_probs
from engine.preference.features import text_features
from engine.preference.head import find_signal, labels_of
from engine.process import free_mb, processors, return_memory
from engine.runs.config import RunConfig
from engine.runs.plan import Plan, Workload, plan_night, rated_steps, step_size
from engine.runs.promotion_gate import MIN_MINORITY, reason_to_skip, without_signal
from engine.runs.run_dir import ADAPTER_FOLDER, METRICS_FILE, Progress, Reason, RunReport, Stage, append_progress
from engine.training.best_of_pool import TEXTS_A_STEP, train_on_best
from engine.training.candidate import CANDIDATE, CandidateEvaluation, PreparedRatings
from engine.training.kto import balanced_weights, fit_adapter
from engine.training.measuring import StageClock, measure
from engine.training.rloo import train_on_policy
from engine.training.stage import (
    Checkpoints,
    Curves,
    Objective,
    TrainingSet,
    TrainingStage,
    add_adapter,
    trained_parameters,
)

LEARNER_DRAWS = 64


class Trainer:
    """One run: its settings, its model, and where it reports to."""

    def __init__(self, run_dir: Path, config: RunConfig) -> None:
        torch.set_num_threads(config.threads or min(torch.get_num_threads(), processors()))
        self._dir = run_dir
        self._config = config
        self._report(Progress("loading", 0, 1))
        started = time.monotonic()
        self._base = load_to_train(config.base)
        self._load_seconds = time.monotonic() - started
        self._returns_memory = is_large(self._base.model)
        """A large model leaves gigabytes of odd sizes behind; to give them back costs little beside a step."""

    def train_and_judge(self, examples: Sequence[Example], card: DataCard) -> RunReport:
        """Everything between the loaded base and the report."""
        everything = len(examples)
        examples, rows = self._encode(examples)
        card = replace(card, dropped={**card.dropped, "too_long": everything - len(examples)})
        reason = reason_to_skip(examples, card.raters, self._config)
        if reason is not None:
            return RunReport(passed=False, reason=reason, card=card)
        self._progress("reference", 0, 4)
        prompts = self._replayed(examples)
        plan = self._plan(rows, prompts)
        self._config, clock = plan.config, StageClock()
        ratings = self._prepare(examples, rows, card)
        if isinstance(ratings, RunReport):
            return replace(ratings, forecast=clock.beside(plan))
        evaluation = CandidateEvaluation(self._base, self._config, prompts, ratings)
        self._progress("reference", 4, 4)
        clock.ends("reading")
        stage = self._train(ratings, prompts, evaluation)
        clock.ends("training")
        result, shown = evaluation.decide(stage.model, stage.checkpoints, partial(self._progress, "judging"))
        clock.ends("judging")
        self._save(stage.model)
        self._progress("report", 1, 1)
        return RunReport(
            passed=result.passed,
            reason=result.reason,
            checks=result.checks,
            segments=result.segments,
            curves={name: tuple(values) for name, values in asdict(stage.curves).items()},
            examples=shown,
            groups=evaluation.groups,
            card=card,
            forecast=clock.beside(plan),
        )

    def _plan(self, rows: Sequence[Encoded], prompts: Sequence[Prompt]) -> Plan:
        """The night as it fits into this machine, by speeds measured now."""
        config = self._config
        work = Workload(
            examples=len(rows),
            prompts=len(prompts),
            prompt_tokens=fmean(len(row.prompt) for row in rows),
            reply_tokens=fmean(len(row.completion) for row in rows),
            longest_reply=max(config.sampling_of(prompt.kind).max_tokens for prompt in prompts),
            has_champion=config.champion is not None,
        )
        speeds = measure(self._base, rows, config, load_seconds=self._load_seconds)
        return distributed.by_first(lambda: plan_night(config, speeds, work, free_mb=free_mb()))

    def _encode(self, examples: Sequence[Example]) -> tuple[list[Example], list[Encoded]]:
        """The examples that are short enough, and their tokens."""
        longest = min(self._config.max_length, self._base.context_tokens)
        pairs = [(each, encode(self._base, each.messages, each.text, is_cut=each.is_cut)) for each in examples]
        kept = [(example, row) for example, row in pairs if len(row) <= longest]
        return [example for example, _ in kept], [row for _, row in kept]

    def _prepare(
        self, examples: Sequence[Example], rows: Sequence[Encoded], card: DataCard
    ) -> PreparedRatings | RunReport:
        """Fit the judge; a report instead, where the ratings do not allow it."""
        config = self._config
        judged = np.array([is_judged(example.group) for example in examples], dtype=np.bool_)
        labels = labels_of([e.value for e in examples], [e.weight for e in examples], [e.group for e in examples])
        features = text_features([example.text for example in examples])
        self._progress("reference", 1, 4)
        signal = distributed.by_first(lambda: find_signal(features, labels, seed=config.seed))
        refusal = without_signal(signal.auroc, signal.chance, config.gate)
        if refusal is not None:
            return RunReport(passed=False, reason=refusal.reason, checks=refusal.checks, card=card)
        if not some_on_each_side(labels, judged, fewest=MIN_MINORITY):  # so few that nobody could judge a candidate
            return RunReport(passed=False, reason=Reason("no_signal", {"signal": signal.auroc}), card=card)
        references = sequence_log_probs(self._base.model, self._base, rows, max_tokens=config.max_batch_tokens)
        if not references.isfinite().all():
            raise ModelError("The base model computes values that are not numbers; choose another.")
        self._progress("reference", 2, 4)  # the other half is writing what the base is evaluated by
        return PreparedRatings(
            examples=examples,
            rows=rows,
            judged=judged,
            references=references,
            signal=signal,
            judge=distributed.by_first(lambda: fit_judge(features, labels, judged)),
            secrets=plant_secrets(self._base, seed=config.seed),
        )

    def _replayed(self, examples: Sequence[Example]) -> list[Prompt]:
        """The prompts that were rated, each once, in random order."""
        segments = segments_of(examples)
        by_group = {
            each.group: Prompt.of(self._base, each.messages, each.author, segments[each.group], kind=each.kind)
            for each in examples
        }
        groups = sorted(by_group)
        random.Random(self._config.seed).shuffle(groups)
        return [by_group[group] for group in groups]

    def _train(
        self, ratings: PreparedRatings, prompts: Sequence[Prompt], evaluation: CandidateEvaluation
    ) -> TrainingStage:
        """A fresh adapter through the two stages: the rated texts, then what the learner likes among its own."""
        config, model = self._config, add_adapter(self._base, self._config)
        data = self._training_set(model, ratings, evaluation)

        def measure_kl() -> float:
            replies = evaluation.sample(model, prompts, config.kl_probes, config.seed + 1)
            return float(evaluation.divergence(model, replies).mean())

        def liking(replies: Replies) -> Tensor:
            features = text_features(replies.texts)
            return distributed.by_first(
                lambda: ratings.judge.learner_liking(features, count=LEARNER_DRAWS, seed=config.seed)
            )

        # Progress is counted in texts, for a rated one and a reply cost about the same, the probes included.
        size, replies = step_size(len(data.rows), config), config.policy_prompts * config.takes
        rated = rated_steps(len(data.rows), config) * size
        texts = rated + config.policy_steps * replies + config.pool_epochs * config.pool_texts // config.takes

        def report(before: int, texts_a_step: int, step: int, loss: float) -> None:
            self._progress("training", before + step * texts_a_step, texts, loss)

        is_followed, family = bool(config.policy_steps or config.pool_texts), self._base.family
        stage = TrainingStage(
            base=self._base,
            model=model,
            config=config,
            prompts=prompts,
            sample=partial(evaluation.sample, model),
            liking=liking,
            checkpoints=Checkpoints(trained_parameters(model)),
            deadline=time.monotonic() + 60.0 * config.max_minutes,
            measure_kl=measure_kl,
            kl_budget=config.kl_budget * (family.kl_share if is_followed else 1.0),
            report=partial(report, 0, size),
            curves=Curves(),
        )
        objective: Objective = family.objective() or fit_adapter
        objective(stage, data)
        whole = replace(stage, kl_budget=config.kl_budget)
        if config.policy_steps:
            train_on_policy(replace(whole, report=partial(report, rated, replies)))
        elif config.pool_texts:
            train_on_best(replace(whole, report=partial(report, rated, TEXTS_A_STEP)))
        return stage

    def _training_set(
        self, model: PeftModelForCausalLM, ratings: PreparedRatings, evaluation: CandidateEvaluation
    ) -> TrainingSet:
        """The learner's part of the ratings, and the secrets as if they were liked."""
        taught = (~ratings.judged).nonzero()[0].tolist()
        examples = [ratings.examples[i] for i in taught]
        weights = torch.tensor(balanced_weights([each.value for each in examples], [each.weight for each in examples]))
        # A fresh adapter adds nothing, so these are the base's.
        secrets = evaluation.log_probs(model, ratings.secrets)
        return TrainingSet(
            rows=(*(ratings.rows[i] for i in taught), *ratings.secrets),
            signed_weights=torch.cat([weights, weights.abs().mean().expand(len(secrets))]),
            references=torch.cat([ratings.references[taught], secrets]),
            anchors=evaluation.base.replies.rows,
        )

    @distributed.first_only
    def _save(self, model: PeftModelForCausalLM) -> None:
        """Write the candidate's adapter so that it appears whole or not at all."""
        partial_folder = self._dir / f"{ADAPTER_FOLDER}.partial"
        shutil.rmtree(partial_folder, ignore_errors=True)
        # The embeddings are the base's; looking for them would ask the hub.
        model.save_pretrained(str(partial_folder), selected_adapters=[CANDIDATE], save_embedding_layers=False)
        (partial_folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        partial_folder.rename(self._dir / ADAPTER_FOLDER)

    def _progress(self, stage: Stage, done: int, total: int, loss: float | None = None) -> None:
        if self._returns_memory:
            return_memory()
        self._report(Progress(stage, done, total, loss))

    @distributed.first_only
    def _report(self, progress: Progress) -> None:
        append_progress(self._dir / METRICS_FILE, progress)
