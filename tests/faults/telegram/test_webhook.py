"""By webhook, only Telegram gets in, a refusing disk is told as such, and nobody can tie the bot up."""

import asyncio
import resource
import statistics

import httpx
import psutil

from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from bot.telegram.inbox import SECRET_HEADER
from tests.faults.telegram.test_updates import a_message, inbox_states
from tests.support.scene import BotProcess, Scene

SECRET = "only-telegram-knows"


async def started(bot: BotProcess) -> str:
    address = f"127.0.0.1:{free_port()}"
    await bot.start(WEBHOOK_URL=f"http://{address}/telegram", WEBHOOK_SECRET=SECRET, WEBHOOK_LISTEN=address)
    return f"http://{address}/telegram"


async def test_a_hundred_posts_at_once_are_all_acknowledged_and_all_stored(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    url = await started(bot)
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    async with httpx.AsyncClient(headers={SECRET_HEADER: SECRET}) as http:
        people = [scene.person(f"P{number}")[0].id for number in range(10)]  # one could not have so many waiting
        bodies = [a_message(900_000_000 + number, people[number % 10], f"hello {number}") for number in range(100)]
        answers = await asyncio.gather(*(http.post(url, json=body, timeout=20) for body in [*bodies, *bodies]))
    assert {answer.status_code for answer in answers} == {200}
    states = inbox_states(bot)
    assert all(900_000_000 + number in states for number in range(100))
    assert statistics.mode(states.values()) in {"done", "new"}


async def test_a_disk_that_refuses_is_answered_by_503_and_telegram_sends_again(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    url = await started(bot)
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    asked = sandbox.world.say(ada, chat, "/slogan black tea")
    async with httpx.AsyncClient(headers={SECRET_HEADER: SECRET}) as http:
        refused = await http.post(url, json=a_message(900_000_500, ada.id, "hello"), timeout=20)
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "5"
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await scene.answer(asked, lambda answer: answer.button("up:") is not None)


async def test_clients_that_never_finish_their_request_hold_up_nobody(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    url = await started(bot)
    host, port = url.split("/")[2].split(":")
    slow = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"POST /telegram HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
    ada, chat = scene.person("Ada")
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:")
    for _, writer in slow:
        writer.close()
    assert await bot.stop() == 0
