"""A run folder's files: config.json in, metrics.jsonl while it runs, report.json out.

Knows names and numbers. Knows nothing of models, ratings or Telegram; imports no torch.

::

    RUN_DIR/config.json     RunConfig    written by whoever starts the run
            dataset.jsonl   the rows     written by the same; the trainer leaves it in place
            metrics.jsonl   Progress     one line per step, appended
            adapter/        PEFT format  appears whole or not at all
            report.json     RunReport    appears last, whole or not at all
            report.html     the same for people, with plots
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine.errors import RunError

CONFIG_FILE = "config.json"
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
    "diversity",  # its replies repeat one another more than the champion's
    "length",  # its replies are much shorter or longer than the champion's
    "hacks",  # it begs for reactions, or shouts
    "overlap",  # it repeats rated texts word for word
    "nan",  # a measurement is not a finite number
    "too_few",  # skipped: fewer examples than min_ratings
    "one_sided",  # skipped: hardly any likes, or hardly any dislikes
    "one_rater",  # skipped: all ratings come from one person
]
"""Every way a run can end with a report."""

SKIPPED: frozenset[ReasonCode] = frozenset({"too_few", "one_sided", "one_rater"})

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_KEEPS_NAN = ConfigDict(ser_json_inf_nan="strings")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBounds:
    """What a candidate must keep to; why each number is what it is stands in `engine.gate`."""

    __pydantic_config__ = _STRICT

    min_probability_better: float = 0.8
    max_loss: float = 0.03
    """The 5 % quantile of the gain in liking (a probability) may lie this far below 0."""
    max_chance: float = 0.02
    """How often shuffled ratings may predict one another as well as the real ones do."""
    max_kl: float = 3.0
    """Nats a text from the base, mean over replies."""
    max_kl_tail: float = 15.0
    """Nats a text, 99th percentile."""
    max_perplexity_rise: float = 0.1
    min_diversity: float = 0.9
    min_length_ratio: float = 0.4
    max_length_ratio: float = 2.5
    max_begging: float = 0.02
    max_shouting: float = 0.1
    max_overlap_rise: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides a run, apart from the ratings; checked on construction.

    Raises:
        RunError: a value is outside its range; the sentence names the field.
    """

    __pydantic_config__ = _STRICT

    base: str = "starter"
    """A folder, a hub id or `starter`."""
    champion: str | None = None
    """The folder of the serving version's adapter; None when the base itself serves."""
    seed: int = 0
    min_ratings: int = 20
    """Examples needed for a run."""
    lora_rank: int = 4
    """On the starter 4 kept more of the diversity than 16, at nearly the same liking."""
    learning_rate: float | None = None
    """None chooses by the size of the model: `engine.finetune.learning_rate_for`."""
    epochs: int = 3
    batch_size: int = 32
    """Examples an optimiser step, fewer where there are few examples."""
    beta: float = 1.0
    """How soon a text has moved enough, per nat. The paper's 0.1 spends several nats a text before it lets go."""
    anchor_share: float = 0.15
    """Unrated replies of the base as anchors against drift, as a share of a step's texts."""
    kl_budget: float = 2.5
    """Nats a text from the base at which training stops; below the gate's bound, for both are estimates."""
    max_minutes: float = 20.0
    """Training stops after this long; the judging comes on top."""
    max_length: int = 1024
    """Tokens of prompt and text together; longer examples are dropped."""
    max_batch_tokens: int = 16384
    """Tokens that pass through the model at once; bounds the memory."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""
    temperature: float = 1.0
    """Replay samples as serving does."""
    top_p: float = 1.0
    min_p: float = 0.0
    max_new_tokens: int = 128
    imagined_texts: int = 768
    """Texts of the base that the judge rates in addition to people's ratings; 0 trains on these alone."""
    replay_prompts: int = 64
    replay_texts: int = 256
    """Replies sampled from each version for the gate, over all prompts."""
    gate: GateBounds = field(default_factory=GateBounds)

    def __post_init__(self) -> None:
        checks = {
            "min_ratings": (self.min_ratings >= 2, "2 or more"),
            "lora_rank": (1 <= self.lora_rank <= 256, "from 1 to 256"),
            "learning_rate": (self.learning_rate is None or 0.0 < self.learning_rate <= 1.0, "from 0 to 1, or null"),
            "epochs": (1 <= self.epochs <= 100, "from 1 to 100"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "beta": (self.beta > 0.0, "above 0"),
            "anchor_share": (0.0 <= self.anchor_share <= 0.5, "from 0 to 0.5"),
            "kl_budget": (self.kl_budget > 0.0, "above 0"),
            "max_minutes": (self.max_minutes > 0.0, "above 0"),
            "max_length": (self.max_length >= 16, "16 or more"),
            "max_batch_tokens": (self.max_batch_tokens >= self.max_length, "max_length or more"),
            "threads": (self.threads >= 0, "0 (torch chooses) or more"),
            "temperature": (0.0 < self.temperature <= 2.0, "above 0 and at most 2"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "min_p": (0.0 <= self.min_p < 1.0, "from 0 to below 1"),
            "max_new_tokens": (self.max_new_tokens >= 1, "1 or more"),
            "imagined_texts": (self.imagined_texts == 0 or self.imagined_texts >= 6, "0 (off), or 6 or more"),
            "replay_prompts": (self.replay_prompts >= 2, "2 or more"),
            "replay_texts": (self.replay_texts >= self.replay_prompts, "replay_prompts or more"),
        }
        for name, (is_good, allowed) in checks.items():
            if not is_good:
                raise RunError(f"{CONFIG_FILE}: {name} is {getattr(self, name)}, but it must be {allowed}.")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run ended as it did; whoever shows it finds the words for the code."""

    __pydantic_config__ = _KEEPS_NAN

    code: ReasonCode
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One measurement against its bound."""

    __pydantic_config__ = _KEEPS_NAN

    name: str
    value: float
    bound: float
    ok: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the champion and the candidate answered to the same logged prompt, with the same seed."""

    prompt: str
    before: str
    after: str
    before_liking: float
    """Chance of a like, by the judge."""
    after_liking: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended: promoted (`passed`), rejected, or skipped (`reason.code` in `SKIPPED`)."""

    __pydantic_config__ = _KEEPS_NAN

    passed: bool
    reason: Reason
    checks: tuple[Check, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    """generations, ratings, raters, chats, prompts, likes, dislikes, and dropped_* by reason."""
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`loss` per optimiser step; `kl` at each measurement, nats a text."""
    examples: tuple[Comparison, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    stage: Stage
    done: int
    total: int
    loss: float | None = None


_CONFIG = TypeAdapter(RunConfig)
_REPORT = TypeAdapter(RunReport)
_PROGRESS = TypeAdapter(Progress)


def write_config(run_dir: Path, config: RunConfig) -> None:
    """Write `config.json` into the folder, which must exist."""
    (run_dir / CONFIG_FILE).write_bytes(_CONFIG.dump_json(config, indent=2) + b"\n")


def read_config(run_dir: Path) -> RunConfig:
    """Read `config.json`; fields that it leaves out have their defaults.

    Raises:
        RunError: there is none, it is not JSON, or a field is unknown or wrong.
    """
    try:
        return _CONFIG.validate_json((run_dir / CONFIG_FILE).read_bytes())
    except OSError as error:
        raise RunError(f"{CONFIG_FILE} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunError(f"{CONFIG_FILE}: {name}: {first['msg']}.") from error


def write_report(run_dir: Path, report: RunReport) -> None:
    """Write `report.json` so that a reader sees the whole of it or nothing."""
    partial = run_dir / f"{REPORT_FILE}.partial"
    partial.write_bytes(_REPORT.dump_json(report, indent=2) + b"\n")
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


def append_progress(path: Path, progress: Progress) -> None:
    """Append one line to `metrics.jsonl`."""
    with path.open("ab") as file:
        file.write(_PROGRESS.dump_json(progress) + b"\n")


def read_progress(path: Path) -> Progress | None:
    """The last whole line of `metrics.jsonl`; None before the first."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return _PROGRESS.validate_json(line)
        except ValidationError:
            continue
    return None
