"""What a night costs: ratings trained a second and memory beside TRL's KTOTrainer, and answers while it trains.

`python -m benchmarks.training SIDE FOLDER MODEL EPOCHS` is one side of the comparison, in a process of its own; it
prints one JSON object. Of a larger model than the starter also how much better its texts are liked afterwards.
"""

import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from random import Random

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from benchmarks.language_tastes import LANGUAGE_TASTES, NOISE, LanguageTaste
from benchmarks.peers import TOPICS
from benchmarks.pool import opinions, pool_of, rows_of, whole, write_texts
from benchmarks.served import Served, serve
from benchmarks.tables import Table, middle, number, percentile
from bot.common.child_process import stop_child
from bot.common.kinds import load_kinds
from bot.learning.trainer_process import run_config, train
from bot.sandbox.people.tastes import Asked
from engine.api.models import resolve_model, version_name
from engine.data.dataset import RatedGeneration, Rating, examples_of, read_dataset, write_dataset
from engine.data.trl_format import kto_record
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.layers import is_large
from engine.models.loader import load_base, load_to_train
from engine.models.logprobs import encode, sequence_log_probs
from engine.process import free_mb, return_memory
from engine.runs.config import RunConfig, write_config
from engine.runs.plan import fitting_pieces
from engine.runs.run_dir import ADAPTER_FOLDER, DATASET_FILE, METRICS_FILE, read_progress, read_report
from engine.training.kto import balanced_weights, fit_adapter
from engine.training.measuring import measure as speeds_of
from engine.training.stage import Checkpoints, Curves, TrainingSet, TrainingStage, add_adapter, trained_parameters

RATINGS, RATERS, EPOCHS, BATCH = 400, 20, 3, 32
REPETITIONS = 3
ANSWERS, TOKENS = 40, 64
DEVICE_BATCH = 8
"""Texts of a larger model that TRL has in memory at once, of the `BATCH` that make a step."""
LIKED_BY = "warm"
"""The hidden taste of a larger model's raters, the first of `language_tastes`; and of the requests they are asked for
again afterwards, which nobody has rated."""
RATE = 2e-4
"""For both, on a larger model than the starter: usual for LoRA at 135 M, and within 5 % of what our trainer chooses."""
NIGHT_MINUTES = 20.0
PAUSE_SECONDS = 10.0


def measure() -> list[Table]:
    """Both tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / DATASET_FILE, _rated_texts())
        sides = {side: [_side(side, folder) for _ in range(REPETITIONS)] for side in _COMPARED}
        night = asyncio.run(_night(folder, "starter", run_config("starter", minutes=60)))
    return [_speed_table(sides), _answers_table(night.idle, night.busy)]


def measure_model(model: str, few: bool) -> Table:
    """The same ratings for our rated stage, our whole night and TRL, and what each makes of the model's texts."""
    ratings, heard = (32, 16) if few else (RATINGS, 150)
    taste, pool = LANGUAGE_TASTES[LIKED_BY], pool_of(model, takes=1 if few else 9)
    asked = [each.asked for each in pool.rated[:heard]]
    before = _mean_liking(taste, asked, [each.text for each in pool.rated[:heard]])
    columns = []
    for side in _SIDES_OF_A_MODEL:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_dataset(folder / DATASET_FILE, rows_of(model, opinions(taste, pool.fresh[:ratings], 0)))
            figures = _side(side, folder, model, epochs=1)
            sys.stderr.write(f"{side}: {figures}\n")
            if (adapter := folder / side / ADAPTER_FOLDER).is_dir():
                texts = write_texts(folder / "after.jsonl", model, asked, adapter=adapter)
                figures["liking"] = _mean_liking(taste, asked, [whole(texts[place]) for place in range(heard)])
            columns.append(figures)
    rows = [
        ["ratings trained a second", *(number(each["speed"]) for each in columns)],
        ["seconds from the ratings to the adapter", *(number(ratings / each["speed"]) for each in columns)],
        ["CPU seconds, loading included", *(number(each["cpu"]) for each in columns)],
        ["peak memory, MiB", *(number(each["peak"]) for each in columns)],
        [f"liking of single texts, {before:.3f} before", *(_told(each.get("liking"), before) for each in columns)],
    ]
    note = (
        f"{ratings} ratings of texts of {version_name(model)}, by people with the hidden taste “{taste.name}”:"
        f" {taste.meaning}; {NOISE:.0%} of the ratings are random. One epoch in steps of {BATCH}, LoRA of the same rank"
        f" on all linear layers, learning rate {RATE:g}; TRL gets the ratings shuffled, liked and disliked in turn,"
        f" {DEVICE_BATCH} at once, once in float32 and once in bfloat16, which is its default; ours is as the trainer"
        " loads it, frozen layers in bfloat16 where the processor multiplies such numbers. The night is all"
        f" of `engine.train` with its own epochs and rate, planned for {NIGHT_MINUTES:.0f} minutes, judging included."
        f" Liking is that of {heard} texts on topics that nobody rated. A process each."
    )
    return Table(f"Training of {version_name(model)}", note, ["", *_SIDES_OF_A_MODEL.values()], rows)


def measure_night(model: str, few: bool) -> Table:
    """A night as the bot plans it by itself, and somebody who goes on asking."""
    ratings, answers = (32, 4) if few else (RATINGS, ANSWERS)
    pool = pool_of(model, takes=1 if few else 9)
    config = run_config(model, minutes=2.0) if few else run_config(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rated = opinions(LANGUAGE_TASTES[LIKED_BY], pool.fresh[:ratings], 0)
        write_dataset(folder / DATASET_FILE, rows_of(model, rated))
        night = asyncio.run(_night(folder, model, config, pause=PAUSE_SECONDS, answers=answers))
        report = read_report(folder)
    verdict = "promoted" if report.passed else f"rejected: {report.reason.code}"
    slower = [percentile(night.busy, percent) / percentile(night.idle, percent) for percent in (50, 95)]
    idle, busy = (
        "; ".join(number(percentile(times, percent)) for percent in (50, 95)) for times in (night.idle, night.busy)
    )
    rows = [
        (f"a night on {ratings} ratings, minutes", number(night.minutes), "≤ 40"),
        ("… its memory at most, MiB", number(night.peak_mib), "≤ 6,144"),
        ("… it ends", verdict, "with a reason"),
        (f"an answer of {TOKENS} tokens with nothing else to do, s: median; p95", idle, ""),
        ("… during the night", busy, ""),
        ("… times", f"{slower[0]:.2f}; {slower[1]:.2f}", "p95 ≤ 2"),
    ]
    note = (
        f"The trainer with the bot's defaults (TRAIN_MINUTES={config.max_minutes:.0f}) on ratings of"
        f" {version_name(model)}'s texts, beside an engine with the same model that one person asks {PAUSE_SECONDS:.0f}"
        f" s after the last answer: {len(night.busy)} answers during the night."
    )
    return Table(f"A night of {version_name(model)}", note, ["", "measured", "goal"], rows)


def _told(liking: float | None, before: float) -> str:
    return "no adapter" if liking is None else f"{liking:.3f} ({liking - before:+.3f})"


def _mean_liking(taste: LanguageTaste, asked: Sequence[Asked], texts: Sequence[str]) -> float:
    return statistics.fmean(taste.liking(text, each) for each, text in zip(asked, texts, strict=True))


def _rated_texts() -> list[RatedGeneration]:
    """Texts of the starter on the kinds' prompts; people like the longer half."""
    base, kinds = load_base("starter"), list(load_kinds(model=["starter"]).by_name.values())
    asked = [kind.messages(topic) for kind in kinds for topic in TOPICS]
    prompts = [Prompt.of(base, messages) for messages in asked]
    replies = sample_replies(base.model, base, prompts, config=run_config("starter"), count=RATINGS, seed=1)
    texts = [str(base.tokenizer.decode(list(row.completion), skip_special_tokens=True)) for row in replies.rows]
    usual = statistics.median(map(len, texts))
    return [
        RatedGeneration(
            id=f"{i:04}",
            kind="slogan",
            chat="chat",
            author="author",
            version="starter",
            messages=asked[owner],
            text=text,
            ratings=(Rating(f"rater{i % RATERS}", 1.0 if len(text) > usual else -1.0),),
        )
        for i, (owner, text) in enumerate(zip(replies.owners, texts, strict=True))
    ]


def _side(side: str, folder: Path, model: str = "starter", *, epochs: int = EPOCHS) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training", side, str(folder), model, str(epochs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{side} did not end well:\n{ended.stderr[-2000:]}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def train_ours(folder: Path, model: str, epochs: int) -> float:
    """The trainer's own first stage, without the on-policy one: references, then the adapter; ratings a second."""
    config = RunConfig(epochs=epochs, batch_size=BATCH, learning_rate=None if model == "starter" else RATE)
    base, (examples, _) = load_to_train(model), examples_of(read_dataset(folder / DATASET_FILE))
    if is_large(base.model):  # a night measures at its start how much memory a token takes; TRL is told a size
        rows = tuple(encode(base, example.messages, example.text) for example in examples[:BATCH])
        config = fitting_pieces(config, speeds_of(base, rows, config, load_seconds=0.0), free_mb())
    began = time.perf_counter()
    rows = tuple(encode(base, example.messages, example.text) for example in examples)
    weights = balanced_weights([example.value for example in examples], [example.weight for example in examples])
    references = sequence_log_probs(base.model, base, rows, max_tokens=config.max_batch_tokens)
    data = TrainingSet(rows=rows, signed_weights=torch.tensor(weights), references=references, anchors=())
    trained = add_adapter(base, config)
    stage = TrainingStage(
        base, trained, config, prompts=(), sample=lambda *_: Replies((), (), (), ()), liking=lambda _: torch.zeros(0),
        checkpoints=Checkpoints(trained_parameters(trained)), deadline=time.monotonic() + 3600.0,
        measure_kl=lambda: 0.0, kl_budget=1e9, report=lambda *_: return_memory() if is_large(base.model) else None,
        curves=Curves(),
    )  # fmt: skip
    fit_adapter(stage, data)
    speed = epochs * len(rows) / (time.perf_counter() - began)
    trained.save_pretrained(str(folder / "ours" / ADAPTER_FOLDER))
    return speed


def train_trl(folder: Path, model: str, epochs: int, *, in_bfloat16: bool = False) -> float:
    """TRL's KTOTrainer as it comes, with the same adapter, batch and epochs; ratings a second.

    It takes the examples in the order given and pairs them within a batch, so they come shuffled, good and bad in turn.
    """
    from datasets import Dataset  # noqa: PLC0415 - our side is measured without them
    from trl.trainer.kto_config import KTOConfig  # noqa: PLC0415
    from trl.trainer.kto_trainer import KTOTrainer  # noqa: PLC0415

    ours, is_starter = RunConfig(), model == "starter"
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(resolve_model(model)), load_base(model).tokenizer
    examples, _ = examples_of(read_dataset(folder / DATASET_FILE))
    keys = ("prompt", "completion", "label")
    records = [kto_record(example) for example in examples]
    Random(0).shuffle(records)
    sides = [[each for each in records if each["label"] is label] for label in (True, False)]
    records = [each for pair in zip_longest(*sides) for each in pair if each is not None]
    data = Dataset.from_list([{key: record[key] for key in keys} for record in records])
    at_once = BATCH if is_starter else DEVICE_BATCH
    settings = KTOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=at_once, num_train_epochs=epochs,
        gradient_accumulation_steps=BATCH // at_once, bf16=in_bfloat16, use_cpu=not torch.cuda.is_available(),
        learning_rate=1e-3 if is_starter else RATE, report_to=[], disable_tqdm=True,
        save_strategy="no", gradient_checkpointing=False,
    )  # fmt: skip
    lora = LoraConfig(task_type="CAUSAL_LM", r=ours.lora_rank, lora_alpha=ours.lora_rank, target_modules="all-linear")
    began = time.perf_counter()
    trainer = KTOTrainer(model=plain, args=settings, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    trainer.train()
    speed = epochs * len(examples) / (time.perf_counter() - began)
    side = "trl_bfloat16" if in_bfloat16 else "trl"
    trainer.save_model(str(folder / side / ADAPTER_FOLDER))
    return speed


def train_night(folder: Path, model: str, _epochs: int) -> float:
    """A whole night of `engine.train` on the same ratings; ratings a second, all of its stages in it."""
    run = folder / "night"
    run.mkdir()
    write_config(run, run_config(model, minutes=NIGHT_MINUTES, niceness=0))
    dataset = folder / DATASET_FILE
    began = time.perf_counter()
    report = asyncio.run(train(run, dataset.read_bytes(), on_progress=lambda _: None))
    sys.stderr.write(f"{report.reason}\n")
    return len(read_dataset(dataset)) / (time.perf_counter() - began)


_SIDES: dict[str, Callable[[Path, str, int], float]] = {
    "ours": train_ours,
    "trl": train_trl,
    "trl_bfloat16": partial(train_trl, in_bfloat16=True),
    "night": train_night,
}
_COMPARED = ("ours", "trl")
_SIDES_OF_A_MODEL = {
    "ours": "Ovation, rated texts",
    "trl": "TRL 1.16 KTOTrainer",
    "trl_bfloat16": "… in bfloat16",
    "night": "Ovation, the whole night",
}


@dataclass(frozen=True, slots=True)
class _Night:
    """What one person and the machine saw of a night."""

    idle: list[float]
    """Seconds that answers take with nothing else to do."""
    busy: list[float]
    """The same while it trains."""
    minutes: float
    peak_mib: float


async def _night(folder: Path, model: str, config: RunConfig, *, pause: float = 0.0, answers: int = ANSWERS) -> _Night:
    """A night in a folder with a dataset, while somebody asks, one question `pause` seconds after the last answer."""
    write_config(folder, config)
    async with serve(model) as engine:
        await _ask(engine, 5)
        idle = await _ask(engine, answers)
        began, peak = time.monotonic(), 0.0
        trainer = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.train", str(folder), stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            while read_progress(folder / METRICS_FILE) is None:
                await asyncio.sleep(0.1)
            busy: list[float] = []
            while trainer.returncode is None:
                busy += await _ask(engine, 1)
                peak = max(peak, _peak_mib(trainer.pid))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(trainer.wait(), pause)
        finally:
            await stop_child(trainer)
    return _Night(idle, busy, (time.monotonic() - began) / 60.0, peak)


def _peak_mib(pid: int) -> float:
    """The most memory that a process has had so far; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


async def _ask(engine: Served, count: int) -> list[float]:
    return [(await engine.ask(question, TOKENS)).whole for question in range(count)]


def _speed_table(sides: dict[str, list[dict[str, float]]]) -> Table:
    speeds, peaks = ({side: [run[key] for run in runs] for side, runs in sides.items()} for key in ("speed", "peak"))
    faster, lighter = (statistics.median(what["ours"]) / statistics.median(what["trl"]) for what in (speeds, peaks))
    note = (
        f"{RATINGS} ratings of the starter's texts, {EPOCHS} epochs in batches of {BATCH}, LoRA of the same rank on all"
        " linear layers, without the texts that our trainer adds; from the labelled texts to the adapter, with"
        f" tokenising and reference. A process each, medians of {REPETITIONS} with their range. That both minimise the"
        " same loss is held by tests/engine/training/test_trl_parity.py."
    )
    rows = [
        ["ratings trained a second", *(middle(speeds[side]) for side in _COMPARED), f"{faster:.2f}", "≥ 5"],
        ["peak memory, MiB", *(middle(peaks[side]) for side in _COMPARED), f"{lighter:.2f}", "< 1"],
    ]
    return Table("Training", note, ["", "Ovation", "TRL 1.16 KTOTrainer", "Ovation / TRL", "goal"], rows)


def _answers_table(idle: Sequence[float], busy: Sequence[float]) -> Table:
    slower = percentile(busy, 95) / percentile(idle, 95)
    rows = [
        [f"p{p}, ms", *(number(1000 * percentile(times, p)) for times in (idle, busy)), ratio, goal]
        for p, ratio, goal in (
            (50, f"{percentile(busy, 50) / percentile(idle, 50):.2f}", ""),
            (95, f"{slower:.2f}", "≤ 2"),
        )
    ]
    note = (
        f"One person asks the engine for {TOKENS} tokens, again and again: {len(idle)} answers with nothing else to do,"
        f" and {len(busy)} during a whole night's run on the same machine, from its loading to its report."
    )
    return Table("Answers while it trains", note, ["answer", "idle", "training", "training / idle", "goal"], rows)


if __name__ == "__main__":
    speed = _SIDES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    whose = resource.RUSAGE_CHILDREN if sys.argv[1] == "night" else resource.RUSAGE_SELF
    used = resource.getrusage(whose)
    figures = {"speed": speed, "peak": used.ru_maxrss / 1024, "cpu": used.ru_utime + used.ru_stime}
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
