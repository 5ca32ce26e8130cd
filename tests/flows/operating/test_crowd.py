"""The real bot before a real engine that many others keep busy: it says how long the queue is, and loses nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OTHERS = 300
LONG = {
    "model": "starter", "messages": [{"role": "user", "content": "A long story"}], "max_tokens": 200,
    "ignore_eos": True,
}  # fmt: skip


@pytest.fixture
def narrow_engine() -> Start:
    @asynccontextmanager
    async def start(*options: str) -> AsyncIterator[httpx.AsyncClient]:
        port = free_port()
        engine = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.serve", "--port", str(port), "--max-batch", "1", *options,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None, limits=limits) as http:
            yield http
        engine.terminate()
        await engine.wait()

    return start


async def metric(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"ovation_engine_{name} "))


async def test_who_waits_is_told_how_many_are_before_them(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    fake_engine.hold()
    fake_engine.ahead = 42
    people = {"42 texts are before yours": scene.person("Ada"), "前面还有": scene.person("李雷", "zh")}
    asked = {words: sandbox.world.say(*person, "/slogan green tea") for words, person in people.items()}
    for words, message in asked.items():
        told = await scene.answer(message, lambda answer, words=words: words in answer.text)  # type: ignore[misc]
        assert told.button("stop:") is not None
    fake_engine.release()
    for message in asked.values():
        await scene.answer(message, lambda answer: answer.button("up:") is not None)


@pytest.mark.slow
async def test_before_a_real_engine_that_is_busy_who_waits_is_told_and_gets_the_text(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, narrow_engine: Start
) -> None:
    async with narrow_engine("--max-queue", "1000") as http:
        await bot.start(ENGINE_URL=str(http.base_url))
        crowd = [asyncio.create_task(http.post("/v1/chat/completions", json=LONG)) for _ in range(OTHERS)]
        while await metric(http, "requests_waiting") < OTHERS // 2:
            await asyncio.sleep(0.1)
        people = {"en": scene.person("Ada"), "zh": scene.person("李雷", "zh")}
        asked = {tongue: sandbox.world.say(*person, "/slogan green tea") for tongue, person in people.items()}
        for tongue, words in (("en", "texts are before yours"), ("zh", "前面还有")):
            told = await scene.answer(asked[tongue], lambda message, words=words: words in message.text)  # type: ignore[misc]
            assert told.button("stop:") is not None
        for other in crowd:
            other.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        for each in asked.values():
            assert "· starter ·" in (await scene.answer(each, lambda answer: answer.button("up:") is not None)).text


@pytest.mark.slow
async def test_what_a_full_engine_refuses_is_asked_again_until_it_is_answered(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, narrow_engine: Start
) -> None:
    async with narrow_engine("--max-queue", "1") as http:
        await bot.start(ENGINE_URL=str(http.base_url))
        ada, hers = scene.person("Ada")
        bob, his = scene.person("Bob")
        asked = [sandbox.world.say(ada, hers, f"/title number {number}") for number in range(6)]
        asked.append(sandbox.world.say(bob, his, "/title green tea"))
        for each in asked:
            await scene.answer(each, lambda answer: answer.button("up:") is not None)
        assert await metric(http, "rejected_total") > 0
