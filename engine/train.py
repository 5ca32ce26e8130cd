"""The trainer: `python -m engine.train RUN_DIR`. A run folder in, an adapter and a report out.

The verbs in order: load, fit a judge, imagine, train, replay, judge, save. Knows run folders, ratings and models. Knows
nothing of Telegram or the database. Ends with a report (exit 0, whatever the verdict) or one sentence on stderr (exit
1; 2 when called wrongly; 3 when memory ran out). With `--parent-pid` it ends when its parent has ended. SIGTERM keeps
its default action and so ends it at once, in the middle of a kernel if need be: what others read is written under
another name and renamed when whole. Under torchrun all processes do the same, each its share of what is expensive; the
first samples the texts, and it alone writes.
"""

import dataclasses
import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModelForCausalLM
from safetensors import SafetensorError

from engine import attention, ranks
from engine.chat_template import ChatTemplate
from engine.dataset import DataCard, Example, examples_of, read_dataset
from engine.errors import EngineError, ModelError
from engine.evaluate import (
    Judge,
    compare_versions,
    divergence,
    fit_judge,
    likings,
    means_by_prompt,
)
from engine.finetune import Curves, TrainingSet, add_adapter, fit_adapter, reference_log_probs, scale_adapter
from engine.gate import OVERSTEPPED, decide, reason_to_skip, without_signal
from engine.memory import NO_MEMORY, OUT_OF_MEMORY, is_out_of_memory, keep_memory
from engine.model import load_base
from engine.objectives import CausalModel, Encoded, balanced_weights, encode
from engine.parent import end_with_parent
from engine.replies import Prompt, Replies, sample_replies
from engine.report import write_page
from engine.run import (
    ADAPTER_FOLDER,
    DATASET_FILE,
    METRICS_FILE,
    REPORT_FILE,
    REPORT_PAGE,
    Progress,
    RunConfig,
    RunReport,
    Stage,
    append_progress,
    read_config,
    write_report,
)
from engine.versions import verify

NICENESS = 10
KL_PROBES = 64
"""Replies sampled to measure the KL on the way."""
TAKES = 8
"""Imagined texts for each prompt."""
STEPS_BACK = 2
STEP_BACK = 0.7
"""A candidate that oversteps a bound of the gate is judged again with this share of its change, so many times."""
CANDIDATE = "default"  # the name PEFT gives the first adapter
CHAMPION = "champion"


def main(arguments: Sequence[str]) -> int:
    """Run the trainer on the one folder named; returns the exit status."""
    match arguments:
        case [folder]:
            pass
        case [folder, "--parent-pid", pid] if pid.isdecimal():
            end_with_parent(int(pid))
        case _:
            return _complain("Usage: python -m engine.train RUN_DIR [--parent-pid PID]", status=2)
    run_dir = Path(folder)
    if not run_dir.is_dir():
        return _complain(f"There is no run folder {run_dir}; give one with config.json and {DATASET_FILE}.", status=2)
    os.nice(NICENESS)
    keep_memory()
    try:
        with ranks.joined():
            run(run_dir)
    except EngineError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"The run folder cannot be read or written: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(NO_MEMORY, status=OUT_OF_MEMORY)
    return 0


def run(run_dir: Path) -> RunReport:
    """Train and judge; writes everything that a run folder holds in the end.

    Raises:
        RunError: the folder is corrupt, or training broke down.
        ModelError: the base or the champion cannot be loaded.
    """
    started = time.monotonic()
    _clear(run_dir)
    config = read_config(run_dir)
    examples, card = examples_of(read_dataset(run_dir / DATASET_FILE))
    reason = reason_to_skip(examples, card.raters, config)
    if reason is None:
        report = Trainer(run_dir, config).train_and_judge(examples, card)
    else:
        report = RunReport(passed=False, reason=reason, counts=counts_of(card))
    report = dataclasses.replace(report, seconds=round(time.monotonic() - started, 1))
    _write_down(run_dir, report, config)
    return report


def counts_of(card: DataCard, *, too_long: int = 0) -> dict[str, int]:
    """The data card as flat numbers."""
    numbers = {key: value for key, value in dataclasses.asdict(card).items() if isinstance(value, int)}
    dropped = {**card.dropped, "too_long": too_long}
    return {**numbers, **{f"dropped_{reason}": count for reason, count in dropped.items()}}


class Trainer:
    """One run: its settings, its model, and where it reports to."""

    def __init__(self, run_dir: Path, config: RunConfig) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._dir = run_dir
        self._config = config
        self._progress("loading", 0, 1)
        self._base = load_base(config.base)
        attention.use(self._base.model)
        self._pad_id = int(self._base.tokenizer.pad_token_id)

    def train_and_judge(self, examples: Sequence[Example], card: DataCard) -> RunReport:
        """Everything between the loaded base and the report."""
        config, everything = self._config, len(examples)
        examples, rows = self._encode(examples)
        counts = counts_of(card, too_long=everything - len(examples))
        reason = reason_to_skip(examples, card.raters, config)
        if reason is not None:
            return RunReport(passed=False, reason=reason, counts=counts)
        prompts = self._replayed(examples, rows, config.replay_prompts)
        self._progress("reference", 0, 2)
        judge = fit_judge(self._base, examples, rows, config)
        refusal = without_signal(judge.signal.auroc, judge.signal.chance, config.gate)
        if refusal is not None:
            return RunReport(passed=False, reason=refusal.reason, checks=refusal.checks, counts=counts)
        replies = self._replay(self._base.model, prompts)
        self._progress("reference", 1, 2)
        rated = balanced_weights([example.value for example in examples], [example.weight for example in examples])
        imagined, guessed = self._imagine(judge, self._replayed(examples, rows, config.imagined_texts // TAKES))
        texts = (*rows, *imagined)
        data = TrainingSet(
            rows=texts,
            signed_weights=torch.tensor((*rated, *guessed)),
            references=reference_log_probs(self._base.model, texts, config, pad_id=self._pad_id),
            anchors=replies.rows,
        )
        curves, model = self._fit(data, prompts)
        before = replies if config.champion is None else self._champion_replies(model, prompts)
        known = [example.text for example in examples]
        for step in range(STEPS_BACK + 1):
            self._progress("judging", step, STEPS_BACK + 1)
            after = self._replay(model, prompts)
            measured, comparisons = compare_versions(
                model, self._base, judge, before, after, config=config, rated_texts=known
            )
            verdict = decide(measured, config.gate)
            if verdict.reason.code not in OVERSTEPPED or step == STEPS_BACK:
                break
            scale_adapter(model, STEP_BACK)
        self._save(model)
        self._progress("report", 1, 1)
        return RunReport(
            passed=verdict.passed,
            reason=verdict.reason,
            checks=verdict.checks,
            counts=counts,
            curves={"loss": tuple(curves.loss), "kl": tuple(curves.kl)},
            examples=comparisons,
        )

    def _encode(self, examples: Sequence[Example]) -> tuple[list[Example], list[Encoded]]:
        """The examples that are short enough, and their tokens."""
        template = ChatTemplate(self._base.tokenizer)
        longest = min(self._config.max_length, self._base.context_tokens)
        pairs = [(example, encode(self._base, template, example)) for example in examples]
        kept = [(example, row) for example, row in pairs if len(row) <= longest]
        return [example for example, _ in kept], [row for _, row in kept]

    def _imagine(self, judge: Judge, prompts: Sequence[Prompt]) -> tuple[tuple[Encoded, ...], tuple[float, ...]]:
        """More texts of the base on logged prompts, and signed weights for them by the judge's opinion.

        The few rated texts differ in much besides taste, and a policy fitted to them alone learns that too. The judge
        spreads what it has learned over many texts, several for each prompt, so that a text is compared with others
        that could have stood in its place: the third that gains most over its prompt's mean counts as liked, the third
        that loses most as disliked.
        """
        count = self._config.imagined_texts
        if not count:
            return (), ()
        pool = self._sample(self._base.model, prompts, count=count, seed=self._config.seed + 2)
        liking = likings(judge, self._base, pool, self._config).mean(0)  # (count,)
        advantage = liking - means_by_prompt(liking[None], pool.owners)[0, list(pool.owners)]
        ranked = advantage.argsort().tolist()
        chosen = [*ranked[: count // 3], *ranked[-(count // 3) :]]
        values = [float(advantage[i]) for i in chosen]
        if not min(values) < 0.0 < max(values):
            return (), ()  # the judge likes all alike
        return tuple(pool.rows[i] for i in chosen), balanced_weights(values, [1.0] * len(values))

    def _replayed(self, examples: Sequence[Example], rows: Sequence[Encoded], most: int) -> list[Prompt]:
        """The prompts to replay: all that were rated, or a sample of them."""
        by_group = {
            example.group: Prompt(row.prompt, example.messages[-1].content)
            for example, row in zip(examples, rows, strict=True)
        }
        groups = sorted(by_group)
        chosen = random.Random(self._config.seed).sample(groups, min(len(groups), max(most, 1)))
        return [by_group[group] for group in chosen]

    def _sample(self, model: CausalModel, prompts: Sequence[Prompt], *, count: int, seed: int) -> Replies:
        return ranks.by_first(
            lambda: sample_replies(model, self._base, prompts, config=self._config, count=count, seed=seed)
        )

    def _replay(self, model: CausalModel, prompts: Sequence[Prompt]) -> Replies:
        return self._sample(model, prompts, count=self._config.replay_texts, seed=self._config.seed)

    def _fit(self, data: TrainingSet, prompts: Sequence[Prompt]) -> tuple[Curves, PeftModelForCausalLM]:
        config = self._config
        model = add_adapter(self._base.model, config)

        def measure_kl() -> float:
            probes = self._sample(model, prompts, count=KL_PROBES, seed=config.seed + 1)
            distances = divergence(model, probes.rows, pad_id=self._pad_id, max_tokens=config.max_batch_tokens)
            return float(distances.mean())

        def report(done: int, total: int, loss: float) -> None:
            self._progress("training", done, total, loss)

        return fit_adapter(model, data, config, pad_id=self._pad_id, measure_kl=measure_kl, report=report), model

    def _champion_replies(self, model: PeftModelForCausalLM, prompts: Sequence[Prompt]) -> Replies:
        folder = Path(str(self._config.champion))
        try:
            verify(folder)
            model.load_adapter(str(folder), CHAMPION)
        except (ModelError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"The champion's adapter {folder.name} cannot be loaded; publish it again.") from error
        model.set_adapter(CHAMPION)
        replies = self._replay(model, prompts)
        model.set_adapter(CANDIDATE)
        return replies

    @ranks.first_only
    def _save(self, model: PeftModelForCausalLM) -> None:
        """Write the candidate's adapter so that it appears whole or not at all."""
        partial = self._dir / f"{ADAPTER_FOLDER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # The embeddings are the base's; looking for them would ask the hub.
        model.save_pretrained(str(partial), selected_adapters=[CANDIDATE], save_embedding_layers=False)
        (partial / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        partial.rename(self._dir / ADAPTER_FOLDER)

    @ranks.first_only
    def _progress(self, stage: Stage, done: int, total: int, loss: float | None = None) -> None:
        append_progress(self._dir / METRICS_FILE, Progress(stage, done, total, loss))


@ranks.first_only
def _clear(run_dir: Path) -> None:
    """Remove what an earlier run left."""
    for stale in (METRICS_FILE, REPORT_FILE, REPORT_PAGE):
        (run_dir / stale).unlink(missing_ok=True)
    shutil.rmtree(run_dir / ADAPTER_FOLDER, ignore_errors=True)


@ranks.first_only
def _write_down(run_dir: Path, report: RunReport, config: RunConfig) -> None:
    write_page(run_dir / REPORT_PAGE, report, config)
    write_report(run_dir, report)


def _complain(sentence: str, *, status: int = 1) -> int:
    sys.stderr.write(sentence + "\n")
    return status


if __name__ == "__main__":
    ranks.leave(main(sys.argv[1:]))
