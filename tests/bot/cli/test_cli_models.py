"""`ovation models compare` with a real engine and, slowly, a real night; and `ovation models` beside it."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
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
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
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
