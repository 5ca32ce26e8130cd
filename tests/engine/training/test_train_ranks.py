"""Two processes at one run learn what one learns, and none outlives a run that broke.

As torchrun starts them, but forked from a process that has imported everything, for a tiny model; and slowly, by
torchrun itself, for the starter.
"""

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.data.dataset import RatedGeneration, write_dataset
from engine.models import distributed
from engine.runs.config import RunConfig, write_config
from engine.runs.run_dir import read_report
from engine.train import main
from tests.support.learning.learning_fixtures import audience, rated, save_tiny_model, wait_for_training

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


SETTINGS = RunConfig(
    threads=1, epochs=2, policy_steps=2, policy_prompts=4, replay_prompts=8, replay_texts=16, max_new_tokens=16,
    max_length=64, max_batch_tokens=256,
)  # fmt: skip
"""81 texts, ten a step, leave one for the last step of an epoch, of which one process has no share; a step's texts are
too many tokens for one pass."""

PREPARED = multiprocessing.get_context("forkserver")
PREPARED.set_forkserver_preload([__name__])


def train_as(rank: int, of: int, port: int, run_dir: Path) -> None:
    """What `python -m engine.train` is under torchrun, in a process that is new and has imported everything."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    sys.stderr = said_by(rank, run_dir).open("w")
    distributed.leave(main([str(run_dir)]))


def said_by(rank: int, run_dir: Path) -> Path:
    return run_dir.with_name(f"{run_dir.name}-{rank}.err")


def start(run_dir: Path, *, of: int) -> list[multiprocessing.process.BaseProcess]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    trainers = [PREPARED.Process(target=train_as, args=(rank, of, port, run_dir), daemon=True) for rank in range(of)]
    for trainer in trainers:
        trainer.start()
    return trainers


def statuses(trainers: Sequence[multiprocessing.process.BaseProcess], *, seconds: float = 200) -> list[int | None]:
    """How they ended; those that did not are killed, with None."""
    for trainer in trainers:
        trainer.join(seconds)
    ended = [trainer.exitcode for trainer in trainers]
    for trainer in trainers:
        trainer.kill()
    return ended


def by_processes(root: Path) -> tuple[Path, Path]:
    """A tiny model, trained by one process and by two."""
    config = replace(SETTINGS, base=str(save_tiny_model(root / "model")))
    folders = [save_run(root / name, audience(65), config) for name in ("alone", "together")]
    trainers = [*start(folders[0], of=1), *start(folders[1], of=2)]
    assert statuses(trainers) == [0, 0, 0], [file.read_text() for file in root.glob("*.err")]
    return folders[0], folders[1]


def by_torchrun(root: Path) -> tuple[Path, Path]:
    """The starter, trained by one process and by torchrun's two."""
    folders = [save_run(root / name, warm_and_cold(65), SETTINGS) for name in ("alone", "together")]
    children = [
        subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE, text=True)
        for command, folder in zip((ONE, TWO), folders, strict=True)
    ]
    try:
        said = [child.communicate(timeout=280)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], said
    return folders[0], folders[1]


@pytest.fixture(scope="module", params=[by_processes, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def alone_and_together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same run by one process and by two."""
    return request.param(tmp_path_factory.mktemp("ranks"))


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


def save_endless(folder: Path) -> Path:
    """A run whose training would take very long."""
    model = save_tiny_model(folder / "model")
    config = RunConfig(base=str(model), epochs=100, kl_budget=1e6, max_new_tokens=4, policy_steps=0, threads=1)
    return save_run(folder / "run", audience(40), config)


def test_a_run_whose_second_process_is_killed_ends_with_a_sentence_and_leaves_nothing_half_done(tmp_path):
    run_dir = save_endless(tmp_path)
    first, second = start(run_dir, of=2)
    wait_for_training(run_dir, first.is_alive)
    second.kill()
    assert statuses([first, second], seconds=60) == [1, -signal.SIGKILL]
    assert "Another process of this run has ended" in said_by(0, run_dir).read_text()
    assert not (run_dir / "report.json").exists()
    assert not (run_dir / "adapter").exists()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process], Path]]:
    """A run in the middle of such a training: torchrun, its two processes, the folder."""
    run_dir = save_endless(tmp_path)
    launcher = subprocess.Popen([*TWO, str(run_dir)], stderr=subprocess.PIPE, text=True)
    workers: list[psutil.Process] = []
    try:
        wait_for_training(run_dir, lambda: launcher.poll() is None)
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


@pytest.mark.slow
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
