"""A machine behind a proxy: Telegram is reached through it, and what stays on the machine never is."""

import json

import httpx

from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from tests.flows.operating.test_operator import health_address
from tests.support.proxy import FakeProxy
from tests.support.scene import BotProcess, Scene


async def test_prompts_reach_the_own_engine_past_a_proxy_that_telegram_needs(
    lone_bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    port = free_port()
    way = f"http://127.0.0.1:{port}"
    telegram = sandbox.url.replace("127.0.0.1", "telegram.example")
    lone_bot.settings |= {"TELEGRAM_API_URL": telegram, "https_proxy": way, "ALL_PROXY": "socks5://127.0.0.1:9"}
    lone_bot.settings |= {"http_proxy": f"http://ada:secret@127.0.0.1:{port}"}
    await lone_bot.spawn()
    told = f"Telegram cannot be reached: The proxy {way} (HTTP_PROXY) does not answer."
    await sandbox.world.until(lambda: told in lone_bot.log or None, 120)

    proxy = FakeProxy()
    async with proxy.running(port):
        await sandbox.world.until(lambda: " ready: @" in lone_bot.log or None, 120)
        ada, chat = scene.person("Ada")
        assert (await scene.ask(ada, chat, "/slogan green tea")).text
        assert {f"{place}" for place in proxy.asked} == {telegram.removeprefix("http://")}
        address = health_address(lone_bot)
    lost = f"no updates: {told}"
    await sandbox.world.until(lambda: lost in lone_bot.log or None, 120)
    async with httpx.AsyncClient() as http:
        checks = (await http.get(f"{address}/ready")).json()["checks"]
    assert told in checks["updates"]["says"] and checks["engine"]["ok"]
    assert "secret" not in lone_bot.log + json.dumps(checks)
