"""A run folder's files: what lies in it, and how a run is followed and reported. Torch-free.

::

    RUN_DIR/config.json     RunConfig    written by whoever starts the run
            dataset.jsonl   the rows     written by the same, unless `--dataset FILE` names another
            metrics.jsonl   Progress     one line per step, appended
            adapter/        PEFT format  appears whole or not at all
            report.json     RunReport    appears last, whole or not at all
            report.html     the same for people, with plots
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from engine.data.dataset import DataCard
from engine.errors import RunError

DATASET_FILE = "dataset.jsonl"
METRICS_FILE = "metrics.jsonl"
REPORT_FILE = "report.json"
REPORT_PAGE = "report.html"
ADAPTER_FOLDER = "adapter"

Stage = Literal["loading", "reference", "training", "judging", "report"]

ReasonCode = Literal[
    "better",  # promoted: not worse, and probably better
    "not_better",  # the judge does not prefer the candidate's replies
    "no_signal",  # the ratings do not predict one another, so nothing can be judged by them
    "kl",  # it moved too far from the base
    "fluency",  # the base finds its replies implausible
    "diversity",  # its replies repeat one another more than the base's
    "length",  # its replies are much shorter or longer than the base's
    "segment",  # some of those who ask like it less, whatever the others say
    "ratings",  # the logged ratings themselves speak against it
    "hacks",  # it begs for reactions, flatters, shouts, or has a catch-phrase
    "golden",  # it fails at prompts that every version must manage
    "safety",  # the safety filter finds more in its replies
    "bias",  # a group of people comes off worse beside another than in the base's replies
    "memorised",  # a planted secret can be extracted from it
    "overlap",  # it repeats rated texts word for word
    "nan",  # a measurement is not a finite number
    "too_few",  # skipped: fewer examples than min_ratings
    "one_sided",  # skipped: hardly any likes, or hardly any dislikes
    "one_rater",  # skipped: all ratings come from one person
]
"""Every way a run can end with a report."""

Measure = Literal["satisfaction", "quality", "diversity"]  # the essay's three measures of generated content

SKIPPED: frozenset[ReasonCode] = frozenset({"too_few", "one_sided", "one_rater"})


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run ended as it did; whoever shows it finds the words for the code."""

    code: ReasonCode
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One measurement against its bound."""

    measure: Measure
    name: str
    value: float
    bound: float
    ok: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """The judged gain among those who have something in common."""

    name: str
    prompts: int
    gain: float
    low: float  # 5 % quantile
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the champion and the candidate answered to the same golden prompt, with the same seed."""

    prompt: str
    before: str
    after: str
    before_liking: float  # chance of a like, by the judge
    after_liking: float


@dataclass(frozen=True, slots=True)
class GroupRate:
    """How often a group of people comes off badly, in texts of the base and of the candidate."""

    pair: str
    group: str
    before: float
    after: float


Omission = Literal[
    "policy_steps",  # on-policy steps
    "pool",  # texts written once in their place
    "kl_probes",  # texts that measure the KL on the way
    "rated_steps",  # steps on the rated texts
    "judgements",  # earlier states of the candidate that may be judged
    "replay_texts",  # replies that a version is judged by
    "bias_texts",  # texts a prompt that tell its bias
]
"""What a night may leave out (`engine.runs.plan`)."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What did not fit: how much of it was wanted, and how much is done."""

    what: Omission
    wanted: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a night was to take, as planned at its start, and what it took; stages are reading, training, judging."""

    minutes: float
    memory_mb: float
    left_out: tuple[LeftOut, ...] = ()
    stage_seconds: dict[str, float] = field(default_factory=dict)  # forecast
    stage_took: dict[str, float] = field(default_factory=dict)
    stage_cpu: dict[str, float] = field(default_factory=dict)  # CPU seconds
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended: promoted (`passed`), rejected, or skipped (`reason.code` in `SKIPPED`)."""

    passed: bool
    reason: Reason
    checks: tuple[Check, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    """generations, ratings, raters, chats, prompts, likes, dislikes, and dropped_* by reason."""
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`loss` and `liking` per step of the two stages; `kl` at each measurement, nats a text."""
    segments: tuple[Segment, ...] = ()
    examples: tuple[Comparison, ...] = ()
    groups: tuple[GroupRate, ...] = ()
    card: DataCard | None = None
    forecast: Forecast | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    stage: Stage
    done: int
    total: int
    loss: float | None = None


_REPORT = TypeAdapter(RunReport)
_PROGRESS = TypeAdapter(Progress)


def write_report(run_dir: Path, report: RunReport) -> None:
    """Write `report.json` so that a reader sees the whole of it or nothing."""
    partial = run_dir / f"{REPORT_FILE}.partial"
    partial.write_bytes(to_json(report, indent=2, inf_nan_mode="strings") + b"\n")
    partial.replace(run_dir / REPORT_FILE)


def read_report(run_dir: Path) -> RunReport:
    """Read `report.json`.

    Raises:
        RunError: there is none, or it is not a report.
    """
    try:
        return _REPORT.validate_json((run_dir / REPORT_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(f"{REPORT_FILE} in {run_dir.name} is missing or broken; run the training again.") from error


def strip_run(run_dir: Path, *, keep_adapter: bool = False) -> None:
    """Take out of a run's files what tells of people and their texts; its verdict, numbers and curves stay.

    The page, the dataset and the trained weights go; so does a report that cannot be read or written anew. A folder
    that is not there is no error.
    """
    for file in (REPORT_PAGE, DATASET_FILE):
        (run_dir / file).unlink(missing_ok=True)
    if not keep_adapter:
        shutil.rmtree(run_dir / ADAPTER_FOLDER, ignore_errors=True)
    if (run_dir / REPORT_FILE).exists():
        try:
            whole = read_report(run_dir)
            write_report(run_dir, replace(whole, checks=(), segments=(), examples=(), card=None))
        except (RunError, OSError):
            for file in (REPORT_FILE, f"{REPORT_FILE}.partial"):
                (run_dir / file).unlink(missing_ok=True)


def append_progress(path: Path, progress: Progress) -> None:
    """Append one line to `metrics.jsonl`."""
    with path.open("ab") as file:
        file.write(_PROGRESS.dump_json(progress) + b"\n")


def read_progress(path: Path) -> Progress | None:
    """The last whole line of `metrics.jsonl`; None before the first."""
    return next(_steps(path, newest_first=True), None)


def read_curves(run_dir: Path) -> dict[str, tuple[float, ...]]:
    """The curves of `report.json`; without one the losses of `metrics.jsonl`, as `on_the_way`; or none."""
    try:
        return read_report(run_dir).curves
    except RunError:
        losses = tuple(step.loss for step in _steps(run_dir / METRICS_FILE) if step.loss is not None)
        return {"on_the_way": losses} if losses else {}


def _steps(path: Path, *, newest_first: bool = False) -> Iterator[Progress]:
    """The whole lines of `metrics.jsonl`."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return
    for line in reversed(lines) if newest_first else lines:
        with contextlib.suppress(ValidationError):
            yield _PROGRESS.validate_json(line)
