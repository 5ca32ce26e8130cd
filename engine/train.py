"""The trainer: `python -m engine.train RUN_DIR`. A run folder in, an adapter and a report out.

Ends with a report (exit 0, whatever the decision) or one sentence on stderr (exit 1; 2 when called wrongly; 3 when
memory ran out). `--dataset /dev/stdin` takes the ratings through a pipe, so that they rest on no disk. With
`--parent-pid` it ends when its parent has ended. SIGTERM keeps its default action and so ends it at once, in the middle
of a kernel if need be: what others read is written under another name and renamed when whole. Under torchrun all
processes do the same, each its share of what is expensive; the first samples the texts, and it alone writes.
"""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.data.dataset import examples_of, read_dataset
from engine.errors import EngineError
from engine.models import distributed
from engine.models.guard import Guard
from engine.process import (
    NO_MEMORY,
    OUT_OF_MEMORY,
    PRIVATE,
    end_with_parent,
    is_out_of_memory,
    keep_memory,
    limit_memory,
)
from engine.runs.config import RunConfig, read_config
from engine.runs.promotion_gate import reason_to_skip
from engine.runs.report import write_page
from engine.runs.run_dir import (
    ADAPTER_FOLDER,
    DATASET_FILE,
    METRICS_FILE,
    REPORT_FILE,
    REPORT_PAGE,
    RunReport,
    write_report,
)
from engine.safety.filter import Findings, load_filter
from engine.training.trainer import Trainer


def main(arguments: Sequence[str]) -> int:
    """Run the trainer on the one folder named; returns the exit status."""
    os.umask(PRIVATE)
    match arguments:
        case [folder]:
            dataset = None
        case [folder, "--dataset", file]:
            dataset = Path(file)
        case [folder, "--dataset", file, "--parent-pid", pid] if pid.isdecimal():
            dataset = Path(file)
            end_with_parent(int(pid))
        case _:
            usage = "Usage: python -m engine.train RUN_DIR [--dataset FILE [--parent-pid PID]]"
            return _complain(usage, status=2)
    run_dir = Path(folder)
    if not run_dir.is_dir():
        return _complain(f"There is no run folder {run_dir}; give one with config.json and {DATASET_FILE}.", status=2)
    keep_memory()
    try:
        os.nice(read_config(run_dir).niceness)
        with distributed.joined():
            run(run_dir, dataset)
    except EngineError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"The run folder cannot be read or written: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(NO_MEMORY, status=OUT_OF_MEMORY)
    return 0


def run(run_dir: Path, dataset: Path | None = None) -> RunReport:
    """Train on a dataset, the folder's own or another, and judge; writes all that a run folder holds in the end.

    Raises:
        RunError: the folder is corrupt, or training broke down.
        ModelError: the base or the champion cannot be loaded.
    """
    started = time.monotonic()
    _clear(run_dir)
    config = read_config(run_dir)
    limit_memory(config.max_memory_mb)
    findings = _findings(config)
    examples, card = examples_of(read_dataset(dataset or run_dir / DATASET_FILE), findings)
    reason = reason_to_skip(examples, card.raters, config)
    if reason is None:
        report = Trainer(run_dir, config).train_and_judge(examples, card)
    else:
        report = RunReport(passed=False, reason=reason, card=card)
    card = report.card or card
    counts = {key: value for key, value in dataclasses.asdict(card).items() if isinstance(value, int)}
    counts |= {f"dropped_{reason}": count for reason, count in card.dropped.items()}
    report = dataclasses.replace(report, counts=counts, seconds=round(time.monotonic() - started, 1))
    _write(run_dir, report, config)
    return report


def _findings(config: RunConfig) -> Findings:
    """The safety filter, and the guard where there is one; a run without what it is told to ask does not begin."""
    words = load_filter(None if config.words_file is None else Path(config.words_file))
    if config.guard is None:
        return words.findings
    guard = Guard(config.guard)
    return lambda text: words.findings(text) or guard.judge(text)


@distributed.first_only
def _clear(run_dir: Path) -> None:
    """Remove what an earlier run left."""
    for stale in (METRICS_FILE, REPORT_FILE, REPORT_PAGE):
        (run_dir / stale).unlink(missing_ok=True)
    shutil.rmtree(run_dir / ADAPTER_FOLDER, ignore_errors=True)


@distributed.first_only
def _write(run_dir: Path, report: RunReport, config: RunConfig) -> None:
    write_page(run_dir / REPORT_PAGE, report, config)
    write_report(run_dir, report)


def _complain(sentence: str, *, status: int = 1) -> int:
    sys.stderr.write(sentence + "\n")
    return status


if __name__ == "__main__":
    distributed.leave(main(sys.argv[1:]))
