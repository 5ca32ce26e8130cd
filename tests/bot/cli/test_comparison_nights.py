"""An evening rates every text, and what a night has made serves if it passed, and only then."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bot.cli.comparison import LearningLoop, plan_for
from engine.api.client import EngineClient
from engine.data.dataset import read_dataset
from engine.errors import RunError
from engine.runs.config import read_config
from engine.runs.run_dir import ADAPTER_FOLDER, Reason, RunReport

PLAN = replace(plan_for(["starter"], kind="slogan", taste="lively"), ratings=10)


class Server:
    """An engine at its HTTP border."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.wrote: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "lora_name" in body:
            self.calls.append(f"{request.url.path.rpartition('/')[2].partition('_')[0]} {body['lora_name']}")
            return httpx.Response(200, text="Success")
        self.wrote.append(body["model"])
        message = {"content": f"Wow, {body['messages'][1]['content']}!"}
        return httpx.Response(200, json={"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, EngineClient]]:
    at = Server()
    async with httpx.AsyncClient(transport=httpx.MockTransport(at.answer)) as http:
        yield at, EngineClient("http://engine", http=http)


async def test_what_has_passed_serves_and_learns_on_and_what_has_not_does_not(
    server: tuple[Server, EngineClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champions: list[str | None] = []
    sizes: list[int] = []

    async def train(folder: Path, dataset: bytes, **_: object) -> RunReport:
        night = len(champions)
        champions.append(read_config(folder).champion)
        (tmp_path / "rows").write_bytes(dataset)
        rows = read_dataset(tmp_path / "rows")
        sizes.append(len(rows))
        assert all(len(row.ratings) == 1 for row in rows) and len({row.id for row in rows}) == len(rows)
        if night == 2:
            raise RunError("The trainer ended with status 1.")
        (folder / ADAPTER_FOLDER).mkdir()
        (folder / ADAPTER_FOLDER / "adapter_model.safetensors").write_bytes(bytes([night]))
        return RunReport(passed=night != 1, reason=Reason("kl" if night == 1 else "better"))

    monkeypatch.setattr("bot.cli.comparison.train", train)
    at, client = server
    loop = LearningLoop(PLAN, "starter", "starter", client, tmp_path / "0")
    nights = []
    for _ in range(4):
        await loop.evening()
        nights.append(await loop.night())
    assert [(night.reason, night.has_passed) for night in nights] == [
        ("better", True), ("kl", False), ("failed", False), ("better", True),
    ]  # fmt: skip
    assert nights[2].told == "The trainer ended with status 1."
    assert at.calls == ["load night-1", "load night-4", "unload night-1"] and loop.version == "night-4"
    assert at.wrote == ["starter"] * 10 + ["night-1"] * 30
    assert sizes == [10, 20, 30, 40]
    first = str(tmp_path / "0" / "versions" / "night-1")
    assert champions == [None, first, first, first]
