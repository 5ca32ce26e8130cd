"""A trainer that runs out of memory, or whose bot is killed: the run has a clear end, and the champion serves on."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from bot.bulletin import verdict_sentence
from bot.nightly import Nightly, Policy
from bot.sandbox.server import Sandbox
from bot.switchboard import Switchboard
from engine.client import EngineClient
from storage.database import Database
from tests.bot.test_nightly import Night, engine, rate
from tests.engine.learning_fixtures import save_tiny_model
from tests.flows.conftest import ADMIN_ID, BotProcess, Scene, has_verdict


def save_greedy_model(folder: Path) -> Path:
    """A tiny model with an embedding of half a gigabyte, which lies on disk as a hole."""
    save_tiny_model(folder)
    config = json.loads((folder / "config.json").read_text())
    rows, width = 4_000_000, config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows}))
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        rest = file.read()
    name = "model.embed_tokens.weight"
    old_begin, old_end = header[name]["data_offsets"]
    kept = rest[:old_begin] + rest[old_end:]
    for entry in header.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [
                offset - (old_end - old_begin if offset >= old_end else 0) for offset in entry["data_offsets"]
            ]
    header[name] = {"dtype": "F16", "shape": [rows, width], "data_offsets": [len(kept), len(kept) + 2 * rows * width]}
    encoded = json.dumps(header).encode()
    with weights.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded + kept)
        file.truncate(8 + len(encoded) + len(kept) + 2 * rows * width)
    return folder


@pytest.fixture
async def nights(tmp_path: Path) -> AsyncIterator[Callable[[Path], Night]]:
    """Makes nights for a model; the engine is a stand-in, the trainer is real."""
    db = await Database.open(tmp_path / "ovation.db")
    started: list[Nightly] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        switchboard = Switchboard(db=db, engine=client, folder=tmp_path / "versions", canary_share=0)
        await switchboard.install()

        def night(model: Path) -> Night:
            policy = Policy(model=str(model), min_ratings=2, promotion="auto", canary_share=0, tenure_days=0)
            started.append(Nightly(db=db, switchboard=switchboard, data_dir=tmp_path, policy=policy))
            return Night(db, started[-1])

        yield night
        for nightly in started:
            await nightly.close()
    await db.close()


@pytest.mark.parametrize("megabytes", [600, 1000])
async def test_a_trainer_that_runs_out_of_memory_ends_the_run_as_failed_and_the_champion_serves_on(
    nights: Callable[[Path], Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    night = nights(save_greedy_model(tmp_path / "model"))
    await rate(night.db, 20)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -v {megabytes * 1024}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("bot.trainer.sys.executable", str(python))
    run = await night.run()
    assert (run.verdict, run.reason, run.version) == ("failed", "memory", "starter")
    assert "not enough memory" in verdict_sentence(run, "en")
    assert not (tmp_path / "runs" / "00001" / "dataset.jsonl").exists()
    monkeypatch.undo()
