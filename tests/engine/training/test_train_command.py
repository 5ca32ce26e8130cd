"""`python -m engine.train`: what ends with a report, what with a sentence, and what a signal leaves behind."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.data.dataset import write_dataset
from engine.errors import RunError
from engine.runs.config import RunConfig, read_config, write_config
from engine.runs.run_dir import Progress, Reason, RunReport, append_progress, read_progress, read_report, write_report
from engine.train import main
from tests.support.learning.learning_fixtures import audience, rated, save_tiny_model, wait_for_training


def test_the_trainer_stands_back_as_far_as_it_is_told(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stood_back: list[int] = []
    monkeypatch.setattr("engine.train.os.nice", stood_back.append)
    write_dataset(run_dir / "dataset.jsonl", audience(19))
    for niceness in (10, 0):
        write_config(run_dir, RunConfig(niceness=niceness))
        assert main([str(run_dir)]) == 0
    assert stood_back == [10, 0]


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("engine.train.os.nice", lambda _: 0)  # the tests go on after it
    folder = tmp_path / "run"
    folder.mkdir()
    write_config(folder, RunConfig(base=str(tmp_path / "no-model-is-needed")))
    return folder


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (audience(19), "too_few"),
        ([rated(i, f"text {i}", 1.0, rater=f"r{i % 3}") for i in range(40)], "one_sided"),
        ([rated(i, f"text {i}", 1.0 if i % 2 else -1.0, rater="only") for i in range(40)], "one_rater"),
    ],
)
def test_ratings_that_cannot_be_learned_from_skip_the_run_with_a_reason(run_dir, rows, code):
    write_dataset(run_dir / "dataset.jsonl", rows)
    assert main([str(run_dir)]) == 0
    report = read_report(run_dir)
    assert (report.passed, report.reason.code) == (False, code)
    assert "This run was skipped." in (run_dir / "report.html").read_text(encoding="utf-8")
    assert not (run_dir / "adapter").exists()


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("dataset.jsonl", "not json\n", "dataset.jsonl, line 1"),
        ("config.json", "{", "config.json"),
        ("config.json", '{"epochs": 0}', "epochs is 0"),
        ("config.json", '{"epoch": 3}', "epoch"),
        ("config.json", '{"beta": "NaN"}', "beta"),
    ],
)
def test_a_corrupted_folder_is_one_sentence_and_exit_1(run_dir, capsys, file, content, told):
    write_dataset(run_dir / "dataset.jsonl", audience(30))
    (run_dir / file).write_text(content)
    assert main([str(run_dir)]) == 1
    complaint = capsys.readouterr().err
    assert told in complaint
    assert complaint.count("\n") == 1
    assert not (run_dir / "report.json").exists()


@pytest.mark.parametrize("missing", ["dataset.jsonl", "config.json"])
def test_a_missing_file_is_one_sentence_and_exit_1(run_dir, capsys, missing):
    write_dataset(run_dir / "dataset.jsonl", audience(30))
    (run_dir / missing).unlink()
    assert main([str(run_dir)]) == 1
    assert f"{missing} cannot be read" in capsys.readouterr().err


def test_a_missing_model_is_one_sentence_and_exit_1(run_dir, capsys):
    write_dataset(run_dir / "dataset.jsonl", audience(30))
    assert main([str(run_dir)]) == 1
    assert "no-model-is-needed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["/there/is/no/such/folder"]])
def test_wrong_use_is_one_sentence_and_exit_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("field", "told"), [("words_file", "write one word a line"), ("guard", "no-guard-is-here")])
def test_a_run_whose_filter_cannot_be_loaded_does_not_begin(run_dir, capsys, field, told):
    write_dataset(run_dir / "dataset.jsonl", audience(30))
    write_config(run_dir, RunConfig(**{field: "/no-guard-is-here"}))
    assert main([str(run_dir)]) == 1
    assert told in capsys.readouterr().err and not (run_dir / "report.json").exists()


def test_a_rerun_removes_what_the_last_one_said(run_dir):
    write_report(run_dir, RunReport(passed=True, reason=Reason("better")))
    (run_dir / "dataset.jsonl").write_text("broken\n")
    assert main([str(run_dir)]) == 1
    assert not (run_dir / "report.json").exists()


def test_sigterm_in_the_middle_of_training_leaves_nothing_half_done(tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    write_dataset(run_dir / "dataset.jsonl", audience(40))
    write_config(
        run_dir,
        RunConfig(base=str(folder), epochs=100, kl_budget=1e6, max_new_tokens=4, policy_steps=0, threads=1),
    )
    process = subprocess.Popen([sys.executable, "-m", "engine.train", str(run_dir)], stderr=subprocess.PIPE)
    try:
        wait_for_training(run_dir, lambda: process.poll() is None)
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert not (run_dir / "report.json").exists()
    assert not (run_dir / "adapter").exists()


def test_config_comes_back_as_it_was_written(tmp_path):
    config = RunConfig(base="a/b", champion="/x", learning_rate=2e-4, seed=7)
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


def test_fields_left_out_have_their_defaults(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 3, "gate": {"max_kl": 2.0}}')
    config = read_config(tmp_path)
    assert (config.seed, config.gate.max_kl) == (3, 2.0)
    assert replace(config, seed=0, gate=RunConfig().gate) == RunConfig()


def test_a_report_with_nan_in_it_comes_back(tmp_path):
    write_report(tmp_path, RunReport(passed=False, reason=Reason("nan", {"kl": float("nan")})))
    assert read_report(tmp_path).reason.numbers["kl"] != read_report(tmp_path).reason.numbers["kl"]


def test_a_missing_report_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="run the training again"):
        read_report(tmp_path)


def test_progress_is_the_last_whole_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_progress(path) is None
    append_progress(path, Progress("loading", 0, 1))
    append_progress(path, Progress("training", 3, 10, 0.48))
    with path.open("ab") as file:
        file.write(b'{"stage":"training","do')
    assert read_progress(path) == Progress("training", 3, 10, 0.48)
