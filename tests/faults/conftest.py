"""The real bot process under faults. One real engine serves all of it through ENGINE_URL, so that a start is quick."""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from bot.engine_process import free_port
from bot.sandbox.server import Sandbox
from tests.flows.conftest import BotProcess, sandbox, scene

__all__ = ["sandbox", "scene"]


@pytest.fixture(scope="session")
def engine_url() -> Iterator[str]:
    """An engine of its own for all fault tests, which no test may harm."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "engine.serve", "--port", url.rsplit(":", 1)[1]]
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
async def bot(sandbox: Sandbox, tmp_path: Path, engine_url: str) -> AsyncIterator[BotProcess]:
    """A bot that is not started yet, beside the shared engine; ended after the test if it still runs."""
    process = BotProcess(sandbox, tmp_path)
    process.settings |= {"ENGINE_URL": engine_url, "PROMPTS_PER_HOUR": "0", "PACING": "on"}
    yield process
    if process.process is not None:
        await process.stop(signal.SIGTERM)
