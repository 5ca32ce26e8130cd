"""A shell is told the commands, kinds and versions, as it asks for them; and nothing where they cannot be had."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def asked(shell: str, words: str) -> list[str]:
    """What bash, or fish, is offered for the last of the words."""
    typed = words.split(" ")
    environment = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1)},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = CliRunner().invoke(
        app, [], prog_name="ovation", env=environment | {"_OVATION_COMPLETE": f"complete_{shell}"}
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_commands_and_options_are_completed() -> None:
    assert asked("bash", "ovation gen") == ["generate"]
    assert {"report", "restore", "run"} == set(asked("bash", "ovation r"))
    assert asked("bash", "ovation keys ") == ["rotate"]
    assert asked("bash", "ovation generate --temp") == ["--temperature"]
    assert asked("bash", "ovation export r") == ["ratings", "runs"]
    assert asked("bash", "ovation models ") == ["list", "compare"]
    assert asked("bash", "ovation models compare --kind p") == ["poem", "post", "pitch"]
    assert asked("bash", "ovation models compare --taste b") == ["brief"]


def test_kinds_are_completed_also_those_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("bash", "ovation generate tea --kind p") == ["poem", "post", "pitch"]
    assert asked("fish", "ovation generate tea --kind sl") == ["slogan\tA slogan: /slogan green tea"]
    words = (
        'description.en = "A toast"\ndescription.zh = "祝酒词"\ninstruction.en = "Toast."\ninstruction.zh = "祝酒。"'
    )
    Path("own.toml").write_text(f'[toast]\nemoji = "🥂"\nmax_tokens = 60\n{words}\n', encoding="utf-8")
    monkeypatch.setenv("KINDS_FILE", "own.toml")
    assert asked("bash", "ovation generate tea --kind ") == ["toast"]


def test_models_with_a_name_are_completed() -> None:
    assert asked("bash", "ovation generate tea --model ") == ["smollm2", "starter", "vae", "gan"]
    assert asked("fish", "ovation generate tea --model v") == ["vae"]


async def test_versions_that_can_write_are_completed(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    db = await open_with_two_versions(tmp_path, adapter, base="starter", at=NOW)
    try:
        assert asked("bash", "ovation generate tea --version v") == ["v1", "v2"]
        assert asked("fish", "ovation generate tea --version v1") == ["v1\tchampion"]
        await db.write(
            lambda c: c.execute("UPDATE versions SET destroyed_at = ? WHERE name = 'v2'", (NOW.isoformat(),))
        )
        assert asked("bash", "ovation generate tea --version v") == ["v1"]
    finally:
        await db.close()


def test_nothing_is_offered_and_nothing_said_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("bash", "ovation generate tea --version ") == []
    monkeypatch.setenv("KINDS_FILE", "nothing.toml")
    assert asked("bash", "ovation generate tea --kind ") == []


def test_the_completion_can_be_shown_to_be_installed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = CliRunner().invoke(app, ["--show-completion", "bash"], prog_name="ovation")
    assert shown.exit_code == 0 and "_OVATION_COMPLETE=complete_bash" in shown.stdout


def test_the_completion_is_installed_where_bash_looks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["--install-completion", "bash"], prog_name="ovation")
    assert done.exit_code == 0, done.output
    assert "_OVATION_COMPLETE=complete_bash" in "".join(
        file.read_text() for file in tmp_path.rglob("*.sh") if "ovation" in file.name
    )
