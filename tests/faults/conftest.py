"""The bot as people get it, pacing included, beside the shared engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.server import Sandbox
from tests.support.scene import BotProcess


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path, engine_url: str) -> AsyncIterator[BotProcess]:
    """A bot that is not started yet; ended after the test if it still runs."""
    process = BotProcess(sandbox, tmp_path, engine_url)
    process.settings |= {"PROMPTS_PER_HOUR": "0", "PACING": "on"}
    yield process
    await process.end()
