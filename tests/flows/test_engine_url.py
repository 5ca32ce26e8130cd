"""With ENGINE_URL the bot starts no engine of its own and uses the one it is given."""

import asyncio
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from bot.engine_process import free_port
from tests.flows.conftest import BotProcess, Scene


@pytest.fixture
async def engine_url() -> AsyncIterator[str]:
    port = free_port()
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.serve", "--port", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    yield f"http://127.0.0.1:{port}"
    engine.terminate()
    await engine.wait()


async def test_the_bot_uses_the_engine_that_it_is_given(bot: BotProcess, scene: Scene, engine_url: str) -> None:
    await bot.start(ENGINE_URL=engine_url)
    assert bot.process is not None
    assert psutil.Process(bot.process.pid).children() == []
    ada, chat = scene.person("Ada")
    assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text
