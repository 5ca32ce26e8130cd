"""`ovation generate` writes at the terminal with a real engine, and says in one sentence why it does not."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli.__main__ import app
from bot.common.settings import DEFAULT_LABEL
from tests.support.terminal import at_a_terminal, engines


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def served(engine_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ENGINE_URL` names the engine that writes for all tests which do not ask for the start of one."""
    monkeypatch.setenv("ENGINE_URL", engine_url)


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate", *arguments])


@pytest.mark.usefixtures("served")
def test_the_same_seed_gives_the_same_labelled_text_to_machines_and_at_a_terminal() -> None:
    result = generate("green tea", "--kind", "slogan", "--seed", "7", "--count", "2", "--json")
    assert result.exit_code == 0 and result.stderr == "", result.stderr
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["seed"], second["seed"]) == (7, 8) and first["text"] != second["text"]
    for told in (first, second):
        assert (told["kind"], told["topic"], told["version"]) == ("slogan", "green tea", "starter")
        assert told["label"] == DEFAULT_LABEL and told["AIGC"]["Label"] == "1" and told["tokens"] > 1
    status, _, stood = at_a_terminal("generate", "green tea", "--kind", "slogan", "--seed", "7", is_all=True)
    assert status == 0
    assert stood.endswith(f"{first['text']}\n\n{DEFAULT_LABEL} · starter · seed 7\n")
    assert not list(Path().iterdir()), "nothing is stored"


@pytest.mark.slow
def test_a_terminal_is_told_that_an_engine_is_loading() -> None:
    status, _, stood = at_a_terminal("generate", "green tea", "--kind", "slogan", "--seed", "7", is_all=True)
    assert status == 0 and "Loading starter" in stood
    assert stood.endswith(f"{DEFAULT_LABEL} · starter · seed 7\n")


@pytest.mark.usefixtures("served")
def test_a_length_and_a_temperature_are_kept_to() -> None:
    result = generate("green tea", "--max-length", "3", "--temperature", "0", "--count", "2", "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["text"] == second["text"] and first["tokens"] == 3 and first["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("  ",), 2, "What about?"),
        (("x" * 2001,), 2, "2,001 characters"),
        (("tea", "--kind", "sonnet"), 2, "There is no kind 'sonnet': choose one of write, slogan"),
        (("tea", "--version", "v9"), 2, "There is no version 'v9' of starter"),
        (("tea", "--temperature", "3"), 2, "--temperature"),
        (("tea", "--count", "0"), 2, "--count"),
        (("tea", "--max-length", "5000"), 2, "--max-length"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_status_2(arguments: tuple[str, ...], status: int, says: str) -> None:
    result = generate(*arguments)
    assert result.exit_code == status and says in re.sub(r"[\s│]+", " ", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("setting", "value", "status", "says"),
    [
        ("ENGINE_URL", "http://127.0.0.1:9", 1, "The engine cannot be reached"),
        ("MODEL", "nothing", 2, "There is no model 'nothing'"),
        ("KINDS_FILE", "nothing.toml", 2, "KINDS_FILE"),
    ],
)
def test_an_engine_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, status: int, says: str
) -> None:
    monkeypatch.setenv(setting, value)
    result = generate("tea")
    assert result.exit_code == status and says in result.stderr and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.usefixtures("served")
def test_an_unfit_topic_is_refused() -> None:
    result = generate("fucking tea")
    assert result.exit_code == 1 and "I do not write about that" in result.stderr and result.stdout == ""


def test_another_model_writes_in_an_engine_of_its_own_whatever_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MODEL", "nothing")
    before_it = engines()
    result = generate(
        "the zorblatt", "--model", "vae", "--kind", "title", "--max-length", "40", "--seed", "7", "--json"
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["version"] == "vae" and "Zorblatt" in told["text"]
    assert "vae has learned nothing about zorblatt: the text may not fit the topic." in result.stderr
    assert engines() == before_it


def test_a_wrong_model_and_a_version_of_another_one_are_refused_before_anything_starts() -> None:
    for arguments, says in (
        (("--model", "nothing"), "There is no model 'nothing'"),
        (("--model", "starter", "--version", "v3"), "give --version or --model, not both"),
    ):
        result = generate("tea", *arguments)
        assert result.exit_code == 2 and says in result.stderr and result.stderr.count("\n") == 1, result.stderr


def test_a_long_text_is_summed_up_as_far_as_it_is_read_and_a_long_topic_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODEL", "starter")
    monkeypatch.setenv("ENGINE_URL", "http://127.0.0.1:9")  # what is tried comes before anything is asked
    result = generate("The council met. " * 200, "--kind", "summary")
    assert re.search(r"I have read its first 2,0\d\d of 3,399 characters", result.stderr), result.stderr
    result = generate("tea " * 600, "--kind", "poem")
    assert result.exit_code == 2 and "in at most 2,000" in result.stderr and result.stdout == ""
