"""What is wrong with a model is told in a sentence before anything is loaded."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.api import models
from engine.api.models import SMOLLM2, SMOLLM2_ON_HUB, check_model, resolve_model, size_of, version_name
from engine.errors import ModelError

Harm = Callable[[Path], object]


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def rewrite(folder: Path, name: str, **changes: Any) -> None:
    """Change a file of settings; None takes a key away."""
    says = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: value for key, value in says.items() if value is not None}))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def without_end(folder: Path) -> None:
    rewrite(folder, "config.json", eos_token_id=None)
    rewrite(folder, "generation_config.json", eos_token_id=None)
    rewrite(folder, "tokenizer_config.json", eos_token=None)


def half_downloaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def with_tokenizer_in_code(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    rewrite(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: cut_off(folder / "model.safetensors"), "is damaged, or not all of it is there"),
        (lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"), "is damaged"),
        (half_downloaded, "model-00002-of-00002.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "x-00001.safetensors"), "index.json is missing"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "as .bin only"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "no chat template"),
        (without_end, "no end token"),
        (with_tokenizer_in_code, "only as Python code, which is never run"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json of the model .* is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json of the model .* is damaged"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_told_why(model: Path, harm: Harm, says: str) -> None:
    check_model(str(model))
    harm(model)
    with pytest.raises(ModelError, match=says) as told:
        check_model(str(model))
    assert "\n" not in str(told.value) and re.search(r"[:;]", str(told.value)), "it says what to do"


def test_a_model_larger_than_the_memory_is_refused_and_one_that_fits_is_not(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = size_of(str(model))
    assert size is not None
    monkeypatch.setattr(models, "free_memory", lambda: 4 * size.parameters)
    check_model(str(model), bytes_a_weight=4)
    monkeypatch.setattr(models, "free_memory", lambda: 4 * size.parameters - 1)
    with pytest.raises(ModelError, match="free some, or choose a smaller model"):
        check_model(str(model), bytes_a_weight=4)


def test_what_is_no_gguf_file_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    with pytest.raises(ModelError, match="There is no file"):
        check_model(str(file))
    file.write_text("<html>404</html>")
    with pytest.raises(ModelError, match="is no GGUF file, whatever its name says"):
        check_model(str(file))
    file.write_bytes(b"GGUF" + bytes(20))
    check_model(str(file))
    assert resolve_model(str(file)) == str(file) and version_name(str(file)) == "model" and size_of(str(file)) is None


def test_smollm2_comes_from_its_package_and_else_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_SMOLLM2_PACKAGE", "a_package_that_is_not_installed")
    assert resolve_model(SMOLLM2) == SMOLLM2_ON_HUB
    package = tmp_path / "a_package_with_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('it is not to be imported')")
    (package / "SmolLM2.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "_SMOLLM2_PACKAGE", package.name)
    assert resolve_model(SMOLLM2) == str(package / "SmolLM2.gguf")
    assert version_name(SMOLLM2) == SMOLLM2
