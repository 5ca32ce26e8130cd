"""The real engine hangs, is killed or finds no memory: it is replaced, and the prompt is answered all the same."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bot.common.errors import StartError
from bot.serving import engine_process
from bot.serving.engine_process import EngineProcess
from engine.api.client import EngineClient
from engine.api.types import Message, Reply, Sampling
from engine.errors import EngineUnavailable
from tests.support.asking import JSON
from tests.support.learning.learning_fixtures import save_greedy_model

ASK = [Message("user", "Write a slogan on green tea")]
SHORT = Sampling(max_tokens=8, temperature=0.0)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def nothing() -> None:
    """Nothing has to be done when the engine is ready."""


async def answer(client: EngineClient) -> Reply:
    """Ask until there is an answer, as the composer does."""
    while True:
        try:
            return await client.complete(ASK, SHORT, model="starter")
        except EngineUnavailable:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGSTOP, "hangs"), pytest.param(signal.SIGKILL, "memory ran out", marks=pytest.mark.slow)],
)
async def test_an_engine_that_hangs_or_is_killed_for_memory_is_replaced_and_the_prompt_is_answered(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    number: signal.Signals, why: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(engine_process, "PULSE_SECONDS", 0.1)
    monkeypatch.setattr(engine_process, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("engine.api.client.HEALTH_SECONDS", 0.3)
    engine = EngineProcess(model="starter", versions=tmp_path, http=http)
    client = engine.client
    try:
        await engine.start(nothing)
        before = await answer(client)
        assert engine._child is not None
        os.kill(engine._child.pid, number)
        assert (await answer(client)).text == before.text
        assert any(why in line for line in caplog.messages)
        assert engine.restarts == 1
        async with httpx.AsyncClient() as stranger:
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/load_lora_adapter"), ("GET", "/metrics")):
                refused = await stranger.request(method, f"{client._root}{path}", headers=JSON)
                assert refused.status_code == 401, "another user of this machine has no key"
    finally:
        await engine.stop()


async def test_an_engine_that_finds_no_memory_at_the_start_says_so_in_one_sentence(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -v 1024000\nexport OMP_NUM_THREADS=1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    model = save_greedy_model(tmp_path / "model")
    monkeypatch.setattr("bot.serving.engine_process.sys.executable", str(python))
    engine = EngineProcess(model=str(model), versions=tmp_path, http=http)
    try:
        with pytest.raises(StartError, match="did not start. The machine ran out of memory"):
            await engine.start(nothing)
    finally:
        await engine.stop()
