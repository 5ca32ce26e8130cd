"""What tests of the running bot share: a stand-in for Telegram, engines, a bot that is not started yet, people.

`engine_url` is one real engine for all tests of a worker, which no test may harm; `fake_engine` is for words of the
test's own. A bot uses the shared one unless told otherwise; `lone_bot` starts an engine of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bot.common.settings import Settings
from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from tests.support.api_checker import check_calls
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, METHOD_TABLE, BotProcess, Scene


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has its default; but the model is the starter, whatever this machine has."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MODEL", "starter")


@pytest.fixture(scope="session")
def engine_url() -> Iterator[str]:
    """The address of an engine that serves the starter."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "engine.serve", "--port", url.rsplit(":", 1)[1], "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                if httpx.get(f"{url}/health").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        assert process.poll() is None, "the engine did not start"
        yield url
        process.terminate()


@pytest.fixture
async def fake_engine() -> AsyncIterator[FakeEngine]:
    """An engine that says what the test tells it to."""
    async with FakeEngine().running() as engine:
        yield engine


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in whose every request is checked against Telegram's method table at the end, where that is at hand."""
    async with Sandbox(admin_id=ADMIN_ID) as running:
        yield running
        if METHOD_TABLE.exists():
            assert check_calls(running.calls, METHOD_TABLE) == []


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path, engine_url: str) -> AsyncIterator[BotProcess]:
    """A bot beside the shared engine, not started yet; ended after the test if it still runs."""
    process = BotProcess(sandbox, tmp_path, engine_url)
    yield process
    await process.end()


@pytest.fixture
async def lone_bot(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotProcess]:
    """A bot that starts an engine of its own, for tests of engines, settings of theirs, versions and nights."""
    process = BotProcess(sandbox, tmp_path)
    yield process
    await process.end()


@pytest.fixture
def vllm_python() -> str:
    """The Python of an environment with vLLM: `OVATION_TEST_VLLM` names it (docs/scale-out.md says how to make one)."""
    python = os.environ.get("OVATION_TEST_VLLM")
    if not python:
        pytest.skip("OVATION_TEST_VLLM does not name the Python of an environment with vLLM")
    return python


@pytest.fixture
def scene(sandbox: Sandbox) -> Scene:
    return Scene(sandbox)


@pytest.fixture
def trainer_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Runs a shell script as the trainer, with the run folder as its `$3`."""

    def make(script: str) -> None:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr("bot.learning.trainer_process.sys.executable", str(python))
        monkeypatch.setattr("bot.learning.trainer_process._POLL_SECONDS", 0.05)

    return make
