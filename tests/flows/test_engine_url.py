"""With ENGINE_URL the bot starts no engine of its own and uses the one it is given."""

import asyncio
import sys
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bot.engine_process import free_port
from bot.serving import listen, serving
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


async def test_a_server_with_a_lock_gets_its_key_with_every_call(
    bot: BotProcess, scene: Scene, engine_url: str
) -> None:
    unlocked = 0

    async def door(request: Request) -> Response:
        """Passes on to the engine who has the key."""
        nonlocal unlocked
        if request.headers.get("Authorization") != "Bearer sk-of-the-test":
            return Response("no", status_code=401)
        unlocked += 1
        ahead = inside.build_request(request.method, request.url.path, content=await request.body())
        answer = await inside.send(ahead, stream=True)
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, {"Content-Type": answer.headers["Content-Type"]}
        )

    app = Starlette(routes=[Route("/{path:path}", door, methods=["GET", "POST"])])
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=engine_url, timeout=60) as inside, serving(app, listener):
            await bot.start(ENGINE_URL=url, ENGINE_KEY="sk-of-the-test")
            ada, chat = scene.person("Ada")
            assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text
            assert unlocked >= 2
            assert "sk-of-the-test" not in bot.log
            await bot.stop()
