"""What a night costs: ratings trained a second and memory beside TRL's KTOTrainer, and answers while it trains.

`python -m benchmarks.training {ours,trl} FOLDER` is one side of the comparison, in a process of its own; it prints one
JSON object.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import LoraConfig

from benchmarks.peers import TOPICS
from benchmarks.served import Served, serve
from benchmarks.tables import Table, middle, number, percentile
from bot.common.child_process import stop_child
from bot.common.kinds import load_kinds
from bot.learning.trainer_process import run_config
from engine.data.dataset import RatedGeneration, Rating, examples_of, read_dataset, write_dataset
from engine.data.trl_format import kto_record
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.loader import load_base
from engine.models.logprobs import encode, sequence_log_probs
from engine.runs.config import RunConfig, write_config
from engine.runs.run_dir import DATASET_FILE, METRICS_FILE, read_progress
from engine.training.kto import balanced_weights, fit_adapter
from engine.training.stage import Checkpoints, Curves, TrainingSet, TrainingStage, add_adapter, trained_parameters

RATINGS, RATERS, EPOCHS, BATCH = 400, 20, 3, 32
REPETITIONS = 3
ANSWERS, TOKENS = 40, 64


def measure() -> list[Table]:
    """Both tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / DATASET_FILE, _rated_texts())
        sides = {side: [_side(side, folder) for _ in range(REPETITIONS)] for side in _SIDES}
        idle, busy = asyncio.run(_answers(folder))
    return [_speed_table(sides), _answers_table(idle, busy)]


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


def _side(side: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training", side, str(folder)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def train_ours(folder: Path) -> float:
    """The trainer's own first stage, without the on-policy one: references, then the adapter; ratings a second."""
    config = RunConfig(epochs=EPOCHS, batch_size=BATCH)
    base, (examples, _) = load_base("starter"), examples_of(read_dataset(folder / DATASET_FILE))
    began = time.perf_counter()
    rows = tuple(encode(base, example.messages, example.text) for example in examples)
    weights = balanced_weights([example.value for example in examples], [example.weight for example in examples])
    references = sequence_log_probs(base.model, base, rows, max_tokens=config.max_batch_tokens)
    data = TrainingSet(rows=rows, signed_weights=torch.tensor(weights), references=references, anchors=())
    model = add_adapter(base, config)
    stage = TrainingStage(
        base, model, config, prompts=(), sample=lambda *_: Replies((), (), (), ()), liking=lambda _: torch.zeros(0),
        checkpoints=Checkpoints(trained_parameters(model)), deadline=time.monotonic() + 3600.0,
        measure_kl=lambda: 0.0, kl_budget=1e9, report=lambda *_: None, curves=Curves(),
    )  # fmt: skip
    fit_adapter(stage, data)
    return EPOCHS * len(rows) / (time.perf_counter() - began)


def train_trl(folder: Path) -> float:
    """TRL's KTOTrainer as it comes, with the same adapter, batch, epochs and learning rate; ratings a second."""
    from datasets import Dataset  # noqa: PLC0415 - our side is measured without them
    from trl.trainer.kto_config import KTOConfig  # noqa: PLC0415
    from trl.trainer.kto_trainer import KTOTrainer  # noqa: PLC0415

    ours, base = RunConfig(), load_base("starter")
    examples, _ = examples_of(read_dataset(folder / DATASET_FILE))
    keys = ("prompt", "completion", "label")
    data = Dataset.from_list([{key: kto_record(example)[key] for key in keys} for example in examples])
    settings = KTOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=BATCH, num_train_epochs=EPOCHS, bf16=False,
        learning_rate=1e-3, report_to=[], disable_tqdm=True, save_strategy="no", gradient_checkpointing=False,
    )  # fmt: skip
    lora = LoraConfig(task_type="CAUSAL_LM", r=ours.lora_rank, lora_alpha=ours.lora_rank, target_modules="all-linear")
    began = time.perf_counter()
    trainer = KTOTrainer(
        model=base.model, args=settings, train_dataset=data, processing_class=base.tokenizer, peft_config=lora
    )
    trainer.train()
    return EPOCHS * len(examples) / (time.perf_counter() - began)


_SIDES: dict[str, Callable[[Path], float]] = {"ours": train_ours, "trl": train_trl}


async def _answers(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds an answer takes, one after the other: with nothing else to do, and while a night trains."""
    config = run_config("starter", minutes=60)
    write_config(folder, config)
    async with serve("starter") as engine:
        await _ask(engine, 5)
        idle = await _ask(engine, ANSWERS)
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
        finally:
            await stop_child(trainer)
    return idle, busy


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
        ["ratings trained a second", *(middle(speeds[side]) for side in _SIDES), f"{faster:.2f}", "≥ 5"],
        ["peak memory, MiB", *(middle(peaks[side]) for side in _SIDES), f"{lighter:.2f}", "< 1"],
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
    speed = _SIDES[sys.argv[1]](Path(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write("\n" + json.dumps({"speed": speed, "peak": peak}) + "\n")
