"""`ovation models list` and `models compare`, with a real engine and, slowly, a real night."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
from bot.serving import usable_models
from engine.api.models import STARTER_FOLDER
from engine.convert import convert
from tests.support.gguf_model import write_gguf
from tests.support.terminal import engines


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> None:
    monkeypatch.chdir(tmp_path)


def models(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


@pytest.mark.parametrize("nights", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_model_is_compared_with_the_grammar(nights: int) -> None:
    before_it = engines()
    result = models("compare", "--models", "starter", "--texts", "12", "--nights", str(nights), "--ratings", "24")
    assert result.exit_code == 0 and result.stderr == "", result.output
    assert "well-formed" in result.stdout and "comparison/comparison.md" in result.stdout
    folder = Path("comparison")
    assert {file.name for file in folder.iterdir()} == {
        "comparison.json", "comparison.md", "satisfaction.png", "quality-diversity.png",
    }  # fmt: skip
    told = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    starter, grammar = told["models"]
    assert len(told["topics"]) == 12 and len(starter["shown"]) == 1 + nights and len(grammar["shown"]) == 1
    before = starter["shown"][0]
    assert len(before["texts"]) == 12 and before["quality"]["well_formed"] > 0.5
    assert 0.0 < before["quality"]["fluency"] < 3.0 and 0.0 < before["liking"]["mean"] <= starter["reachable"] < 1.0
    assert starter["alone"]["texts_a_second"] > 0.0 and starter["together"]["ms_a_token"] > 0.0
    assert len(starter["nights"]) == nights
    for night in starter["nights"]:
        assert night["reason"] and (night["has_passed"] or starter["shown"][1] == before), night
    assert engines() == before_it


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that refuses the model as the real one does."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho \"The model '{tmp_path}/broken' cannot be loaded.\" >&2; exit 2\n")
    python.chmod(0o755)
    monkeypatch.setattr("bot.serving.engine_process.sys.executable", str(python))


@pytest.fixture
def real_engine() -> None:
    """The real one."""


@pytest.mark.parametrize("engine", ["stand_in", pytest.param("real_engine", marks=pytest.mark.slow)])
def test_a_model_that_does_not_load_is_named_before_anything_long_begins(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    broken = shutil.copytree(STARTER_FOLDER, tmp_path / "broken")
    (broken / "config.json").write_text('{"model_type": "mystery", "eos_token_id": 0}')
    request.getfixturevalue(engine)
    result = models("compare", "--models", str(broken))
    assert result.exit_code == 2 and f"The model '{broken}' cannot be loaded" in result.stderr, result.output
    assert result.stderr.count("\n") == 1 and not Path("comparison").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--models", "nothing"), "There is no model 'nothing'"),
        (("--kind", "sonnet"), "The kind 'sonnet' cannot be compared: choose one of slogan"),
        (("--taste", "loud"), "There is no taste 'loud'"),
        (("--out", "."), ". exists already: name a new folder with --out."),
        (("--nights", "4"), "--nights"),
        (("--texts", "1"), "--texts"),
        (("--ratings", "0"), "--ratings"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_status_2(arguments: tuple[str, ...], says: str) -> None:
    result = models("compare", *arguments)
    assert result.exit_code == 2 and says in re.sub(r"[\s│]+", " ", result.stderr), result.output
    assert result.stdout == "" and not Path("comparison").exists()


def test_what_cannot_be_written_is_told() -> None:
    Path("file").write_text("")
    result = models("compare", "--models", "starter", "--out", "file/inside")
    assert result.exit_code == 1 and "file/inside cannot be written: Not a directory." in result.stderr


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a converted model and a spoilt file, a hub's cache with a model, and no package."""
    monkeypatch.setattr("engine.api.models._SMOLLM2_PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setattr(usable_models, "scan_cache_dir", partial(scan_cache_dir, tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--acme--tea-1b" / "snapshots" / "abc"
    shutil.copytree(STARTER_FOLDER, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    data = tmp_path / "data"
    data.mkdir()
    (data / "page.gguf").write_text("<html>404</html>")
    write_gguf(tmp_path / "tiny.gguf")
    convert(str(tmp_path / "tiny.gguf"), data / "models")
    return tmp_path


def listed(*options: str) -> dict[str, dict[str, Any]]:
    result = models("list", "--json", *options)
    assert result.exit_code == 0, result.output
    return {model["source"]: model for model in json.loads(result.stdout)}


def test_the_models_of_this_machine_are_listed_with_what_is_known_of_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = listed()
    tiny, page = str(machine / "tiny.gguf"), "data/page.gguf"
    assert {name: model["place"] for name, model in found.items()} == {
        "starter": "shipped", "vae": "shipped", "gan": "shipped", page: "GGUF file", "acme/tea-1b": "hub cache",
        tiny: "converted",
    }  # fmt: skip
    assert [name for name, model in found.items() if model["is_chosen"]] == ["starter"]
    assert "is no GGUF file" in found[page]["fault"] and found["starter"]["fault"] is None
    assert found["starter"]["size"]["parameters"] == 2_557_632 and found[tiny]["size"]["parameters"] > 0
    shown = models("list").stdout
    assert "not measured" in shown and "2.6 M" in shown and "Bold: what the next start takes." in shown


def test_what_is_measured_is_kept_and_what_was_is_not_measured_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[-1])
        if command[-1] == "gan":
            return subprocess.CompletedProcess(command, 1, "", "It cannot be measured.")
        return subprocess.CompletedProcess(command, 0, json.dumps(SPEEDS), "")

    monkeypatch.setattr(usable_models.subprocess, "run", measured)
    first = models("list", "--measure", "--json")
    assert first.stderr == "It cannot be measured.\n" and first.exit_code == 0
    found = listed("--measure")
    assert {name for name in asked if asked.count(name) == 2} == {"gan"} and len(set(asked)) == 5
    assert found["starter"]["measured"] == SPEEDS and found["gan"]["measured"] is None
    assert found["starter"]["night_minutes"] > 0 and found["gan"]["night_minutes"] is None
    assert "1,234" in models("list").stdout
    (machine / "data" / "models" / "measured.json").write_text("{")
    assert listed()["starter"]["measured"] is None


SPEEDS = {
    "model": "starter", "parameters": 2_557_632, "vocabulary": 4096, "load_seconds": 1.0, "memory_mb": 600.0,
    "sample_tokens_per_second": 1234.0, "forward_tokens_per_second": 9000.0, "backward_tokens_per_second": 3000.0,
    "step_seconds": 0.01, "row_seconds": 0.001, "gradient_bytes": 100_000.0,
}  # fmt: skip
