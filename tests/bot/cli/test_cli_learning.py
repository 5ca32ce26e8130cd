"""`ovation train` and `ovation export --format kto`: learning by hand, with the real trainer."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from bot.learning.trainer_process import run_config
from engine.data.dataset import examples_of, write_dataset
from engine.data.trl_format import kto_lines
from engine.runs.config import RunConfig
from engine.runs.run_dir import DATASET_FILE, RunReport
from engine.train import run
from storage.db.database import Database
from tests.bot.learning.test_nightly import rate
from tests.support.learning.learning_fixtures import audience, rated, save_tiny_model


def ovation(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def ratings_file(folder: Path, *, count: int = 60) -> Path:
    examples, _ = examples_of(audience(count))
    path = folder / "kto.jsonl"
    path.write_text("\n".join(kto_lines(examples)) + "\n")
    return path


def test_a_file_of_trl_trains_an_adapter_and_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(base: str, *, minutes: float) -> RunConfig:
        return replace(
            run_config(base, minutes=minutes),
            policy_steps=0,
            replay_prompts=4,
            replay_texts=8,
            max_new_tokens=8,
            kinds={},
            threads=1,
            epochs=1,
        )

    monkeypatch.setattr("bot.cli.train.run_config", small)
    model, out = save_tiny_model(tmp_path / "model"), tmp_path / "run"
    source = ratings_file(tmp_path, count=40)
    status, said, _ = ovation("train", "--from", source, "--model", model, "--out", out, "--minutes", 1)
    assert status == 0
    assert said.split(".")[0] in {"Passed", "Rejected"}
    assert f"Report: {out / 'report.html'}" in said
    assert (out / "report.html").is_file()
    assert (f"Adapter: {out / 'adapter'}" in said) == (out / "adapter").is_dir()


@pytest.fixture
def trainer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real trainer, in this process."""

    async def train(run_dir: Path, dataset: bytes, **_: object) -> RunReport:
        (run_dir / DATASET_FILE).write_bytes(dataset)
        return run(run_dir)

    monkeypatch.setattr("bot.cli.train.train", train)


@pytest.mark.usefixtures("trainer_here")
def test_a_run_that_cannot_learn_says_why(tmp_path: Path) -> None:
    path, out = tmp_path / "dataset.jsonl", tmp_path / "run"
    write_dataset(path, [rated(i, f"text {i}", 1.0, rater=f"r{i % 3}") for i in range(40)])
    status, said, _ = ovation("train", "--from", path, "--out", out)
    assert status == 0
    assert said.startswith("Skipped. Nearly all ratings say the same")
    assert "Adapter" not in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        ('{"prompt": "tea"}\n', "line 1: completion"),
        ("nothing\n", "line 1"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_status_2(tmp_path: Path, content: str | None, told: str) -> None:
    path, out = tmp_path / "ratings.jsonl", tmp_path / "run"
    if content is not None:
        path.write_text(content)
    status, _, said = ovation("train", "--from", path, "--out", out)
    assert status == 2
    assert told in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    status, _, said = ovation("train", "--from", ratings_file(tmp_path), "--out", tmp_path)
    assert status == 2
    assert "exists already" in said


def test_a_trainer_that_fails_is_its_last_sentence_and_status_1(
    tmp_path: Path, trainer_does: Callable[[str], None]
) -> None:
    trainer_does("cat > /dev/null; echo There is no model none. >&2; exit 1")
    status, _, said = ovation("train", "--from", ratings_file(tmp_path), "--out", tmp_path / "run")
    assert status == 1
    assert "There is no model none." in said.splitlines()[-1]


def test_ctrl_c_ends_the_trainer_too(tmp_path: Path) -> None:
    source = ratings_file(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", "train", "--from", source, "--out", tmp_path / "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - a background job ignores it
    )  # fmt: skip
    while not (trainers := [c for c in psutil.Process(process.pid).children() if "engine.train" in c.cmdline()]):
        assert process.poll() is None
        time.sleep(0.05)
    (trainer,) = trainers
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped." in said
    assert "Traceback" not in said
    assert not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE


async def test_consented_ratings_leave_as_trl_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    db = await Database.open(tmp_path / "ovation.db", open_keys(DataSettings(), may_create=True).keyring)
    await rate(db, 6)
    await db.close()
    status, said, _ = ovation("export", "ratings", "--format", "kto")
    assert status == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert len(lines) == 6
    for line in lines:
        assert set(line) == {"prompt", "completion", "label", "value", "weight"}
        assert line["completion"][0]["role"] == "assistant"
    assert len({line["label"] for line in lines}) == 2


def test_only_ratings_have_that_format() -> None:
    status, _, said = ovation("export", "runs", "--format", "kto")
    assert status == 2
    assert "--format jsonl" in said
