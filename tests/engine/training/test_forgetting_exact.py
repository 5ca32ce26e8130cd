"""Forgetting is exact: without a person's ratings a run makes, bit for bit, what it makes if they never rated."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from engine.data.dataset import RatedGeneration, write_dataset
from engine.runs.config import RunConfig, write_config
from engine.runs.run_dir import read_report
from engine.train import run
from tests.support.learning.learning_fixtures import audience, save_taught_model

LEAVING = "leaving"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_taught_model(tmp_path_factory.mktemp("model") / "tiny", steps=40)


def trained(folder: Path, model: Path, rows: list[RatedGeneration]) -> dict[str, str]:
    """Train for real, and name what came of it by its bytes."""
    folder.mkdir()
    config = RunConfig(
        base=str(model), seed=5, threads=1, policy_steps=2, policy_prompts=4, replay_prompts=4, replay_texts=16,
        max_new_tokens=14, epochs=1,
    )  # fmt: skip
    write_config(folder, config)
    write_dataset(folder / "dataset.jsonl", rows)
    run(folder)
    assert read_report(folder).curves["loss"], "it has trained"
    files = [folder / "dataset.jsonl", *sorted((folder / "adapter").iterdir())]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_run_after_somebody_is_forgotten_makes_the_weights_as_if_they_had_never_rated(tmp_path: Path, model: Path):
    others = audience(60, right=1.0)
    rows = [replace(row, ratings=(*row.ratings, replace(row.ratings[0], rater=LEAVING))) for row in others[::2]]
    rows += [replace(row, ratings=(replace(row.ratings[0], rater=LEAVING),)) for row in others[1:20:2]]
    never = others[::2]
    # The store erases their ratings; a text that nobody else rated is not read any more.
    erased = [replace(row, ratings=tuple(r for r in row.ratings if r.rater != LEAVING)) for row in rows]
    forgotten = [row for row in erased if row.ratings]
    assert len(forgotten) < len(rows)
    without = trained(tmp_path / "without", model, forgotten)
    assert "adapter_model.safetensors" in without
    assert without == trained(tmp_path / "never", model, never)
    kept = trained(tmp_path / "kept", model, rows)
    assert kept["adapter_model.safetensors"] != without["adapter_model.safetensors"], "their ratings did count"
