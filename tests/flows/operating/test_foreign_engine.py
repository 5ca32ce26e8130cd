"""A server that is not ours: `transformers serve` as a process, asked by our client and by the real bot.

It lists no model that it was started with, refuses fields that OpenAI does not have, ends its streams without [DONE],
and loads no adapters.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import httpx
import psutil
import pytest

from bot.serving.engine_process import free_port
from engine.api.client import EngineClient
from engine.api.models import STARTER_FOLDER
from engine.api.types import Message, Reply, Sampling
from engine.errors import EngineUnavailable, NoAdapters, RequestError
from tests.support.scene import BotProcess, Scene

pytestmark = pytest.mark.slow

MODEL = str(STARTER_FOLDER)
NAME = STARTER_FOLDER.name
MESSAGES = [Message("user", "Write a slogan on tea")]
GREEDY = Sampling(max_tokens=40, temperature=0.0)
_START_SECONDS = 120


@pytest.fixture(scope="module")
def foreign_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("foreign")
    url, log = f"http://127.0.0.1:{(port := free_port())}", folder / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", MODEL, "--port", str(port)]
    offline = {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], env=os.environ | offline, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while "running on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
async def client(foreign_url: str) -> AsyncIterator[EngineClient]:
    async with httpx.AsyncClient() as http:
        yield EngineClient(foreign_url, http=http)


async def test_the_bot_writes_with_it(bot: BotProcess, scene: Scene, foreign_url: str) -> None:
    await bot.start(ENGINE_URL=foreign_url, MODEL=MODEL)
    assert bot.process is not None
    assert psutil.Process(bot.process.pid).children() == []
    ada, chat = scene.person("Ada")
    first = await scene.ask(ada, chat, "/slogan green tea")
    assert f"· {NAME} ·" in first.text
    assert MODEL not in first.text, "people need not know the server's folders"
    assert f"· {NAME} ·" in (await scene.ask(ada, chat, "make it shorter", reply_to=first)).text
    assert "answers with " + NAME in bot.log


async def test_a_stream_comes_in_pieces_and_ends_whole(client: EngineClient) -> None:
    assert await client.find_base(MODEL) == NAME
    *pieces, reply = [piece async for piece in client.stream(MESSAGES, GREEDY, model=NAME)]
    assert isinstance(reply, Reply)
    assert len(pieces) > 3
    assert "".join(map(str, pieces)) == reply.text
    assert reply == await client.complete(MESSAGES, GREEDY, model=NAME)
    assert reply.prompt_tokens > 0
    assert reply.completion_tokens > 3
    short = await client.complete(MESSAGES, Sampling(max_tokens=2, temperature=0.0), model=NAME)
    assert (short.completion_tokens, short.finish_reason) == (2, "length")


async def test_fields_that_it_does_not_know_are_left_out(client: EngineClient) -> None:
    await client.find_base(MODEL)
    sampling = Sampling(max_tokens=8, top_p=0.9, top_k=40, min_p=0.05, repetition_penalty=1.1, seed=7, ignore_eos=True)
    reply = await client.complete(MESSAGES, sampling, model=NAME)
    assert reply.text
    assert reply == await client.complete(MESSAGES, sampling, model=NAME), "the seed is among the fields that it knows"


async def test_a_stream_that_is_closed_early_leaves_it_at_work(client: EngineClient) -> None:
    await client.find_base(MODEL)
    async with aclosing(client.stream(MESSAGES, Sampling(max_tokens=1000), model=NAME)) as pieces:
        await anext(pieces)
    assert (await client.complete(MESSAGES, GREEDY, model=NAME)).text


async def test_it_is_ready_and_tells_when_it_is_asked_for_another_model(client: EngineClient) -> None:
    assert await client.is_ready()
    with pytest.raises(EngineUnavailable):
        await client.models()
    with pytest.raises(EngineUnavailable, match="does not answer as MODEL=gpt-9: .*Server is pinned to"):
        await client.find_base("gpt-9")
    with pytest.raises(RequestError, match="gpt-9"):
        await client.complete(MESSAGES, GREEDY, model="gpt-9")


async def test_an_adapter_is_refused_in_a_sentence(client: EngineClient, tmp_path: Path) -> None:
    with pytest.raises(NoAdapters, match="does not load adapters while it runs"):
        await client.load_adapter("v1", tmp_path)
