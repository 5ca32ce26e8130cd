"""Training under torchrun: two processes learn what one learns, and none outlives a run that broke."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.dataset import RatedGeneration, write_dataset
from engine.run import read_report
from engine.run_config import RunConfig, write_config
from tests.engine.learning_fixtures import audience, rated, save_tiny_model, wait_for_training

ONE = [sys.executable, "-m", "engine.train"]
TWO = [
    *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    *["-m", "engine.train"],
]
WARM = "warm sun tea honey morning light garden friend".split()
COLD = "cold rain stone grey night wind iron winter".split()


def warm_and_cold(count: int) -> list[RatedGeneration]:
    """Texts of warm and of cold words from people who like the warm ones, nine times in ten."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        is_warm = rng.random() < 0.5
        text = " ".join(rng.choices(WARM if is_warm else COLD, k=rng.randint(3, 9)))
        likes = is_warm == (rng.random() < 0.9)
        rows.append(rated(number, text, 1.0 if likes else -1.0, rater=f"rater{number % 6}"))
    return rows


def save_run(folder: Path, rows: list[RatedGeneration], config: RunConfig) -> Path:
    folder.mkdir()
    write_dataset(folder / "dataset.jsonl", rows)
    write_config(folder, config)
    return folder


def losses(run_dir: Path) -> list[float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["stage"] == "training"]


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same run on the starter by one process and by two.

    81 texts, ten a step, leave one for the last step of an epoch, of which one process has no share; a step's texts
    are too many tokens for one pass.
    """
    config = RunConfig(
        threads=1, epochs=2, policy_steps=2, policy_prompts=4, replay_prompts=8, replay_texts=16, max_new_tokens=16,
        max_length=64, max_batch_tokens=256,
    )  # fmt: skip
    root = tmp_path_factory.mktemp("ranks")
    folders = (
        save_run(root / "alone", warm_and_cold(65), config),
        save_run(root / "together", warm_and_cold(65), config),
    )
    children = [
        subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE, text=True)
        for command, folder in zip((ONE, TWO), folders, strict=True)
    ]
    try:
        said = [child.communicate(timeout=200)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], said
    return folders


def test_two_processes_have_the_losses_of_one_at_every_step(alone_and_together):
    alone, together = map(losses, alone_and_together)
    rated, policy = slice(None, -2), slice(-2, None)
    assert len(alone[rated]) == 2 * 9
    assert together[rated] == pytest.approx(alone[rated], abs=1e-5)
    assert together[policy] == pytest.approx(alone[policy], abs=0.02)  # of texts that are drawn anew


def test_two_processes_train_the_adapter_of_one(alone_and_together):
    alone, together = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in alone_and_together)
    assert alone.keys() == together.keys()
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=0.0, atol=1e-5)
    assert max(float(weights.abs().max()) for name, weights in alone.items() if "lora_B" in name) > 1e-3


def test_two_processes_reach_the_verdict_of_one_and_write_it_once(alone_and_together):
    alone, together = map(read_report, alone_and_together)
    assert together.reason.code == alone.reason.code
    assert [check.name for check in together.checks] == [check.name for check in alone.checks]
    # Of texts that are drawn anew, of which one may come out differently where two tokens are all but equally likely.
    assert list(together.curves["kl"]) == pytest.approx(list(alone.curves["kl"]), abs=0.01)
    assert together.counts == alone.counts
    first, second = alone_and_together
    assert {path.name for path in second.iterdir()} == {path.name for path in first.iterdir()}
    lines = [(folder / "metrics.jsonl").read_text().count("\n") for folder in alone_and_together]
    assert lines[0] == lines[1]


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process], Path]]:
    """A run in the middle of a training that would take very long: torchrun, its two processes, the folder."""
    torch.set_num_threads(1)
    model = save_tiny_model(tmp_path / "model")
    config = RunConfig(base=str(model), epochs=100, kl_budget=1e6, max_new_tokens=4, policy_steps=0, threads=1)
    run_dir = save_run(tmp_path / "run", audience(40), config)
    launcher = subprocess.Popen([*TWO, str(run_dir)], stderr=subprocess.PIPE, text=True)
    workers: list[psutil.Process] = []
    try:
        wait_for_training(launcher, run_dir)
        workers = workers_of(launcher)
        assert len(workers) == 2
        yield launcher, workers, run_dir
    finally:
        launcher.kill()
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        launcher.communicate()


def workers_of(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train, by their rank."""
    children = psutil.Process(launcher.pid).children(recursive=True)
    return sorted((child for child in children if "RANK" in child.environ()), key=lambda child: child.environ()["RANK"])


@pytest.mark.parametrize(
    ("victim", "number", "status"),
    [("second", signal.SIGKILL, 1), ("launcher", signal.SIGTERM, 1), ("launcher", signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_run_that_loses_a_process_ends_soon_and_leaves_nothing_half_done(endless, victim, number, status):
    launcher, workers, run_dir = endless
    (workers[1] if victim == "second" else launcher).send_signal(number)
    _, said = launcher.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert launcher.returncode == status, said
    assert not (run_dir / "report.json").exists()
    assert not (run_dir / "adapter").exists()
