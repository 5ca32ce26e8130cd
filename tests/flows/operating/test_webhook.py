"""By webhook, only Telegram's own posts count, and what is acknowledged is on disk."""

import httpx

from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from bot.telegram.inbox import MAX_BODY_BYTES, SECRET_HEADER
from tests.support.scene import BotProcess, Scene

SECRET = "only-telegram-knows"


async def test_updates_come_by_webhook_and_forged_ones_are_refused(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}/机器人/{{x}} y"
    await bot.start(WEBHOOK_URL=url, WEBHOOK_SECRET=SECRET, WEBHOOK_LISTEN=address)
    ada, chat = scene.person("Ada")
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:1")
    assert sandbox.calls_of("getUpdates") == []

    forged = {"update_id": 1, "message": {"message_id": 1}}
    async with httpx.AsyncClient() as http:
        right = {SECRET_HEADER: SECRET}
        answers = [
            await http.post(url, json=forged),
            await http.post(url, json=forged, headers={SECRET_HEADER: "a guess"}),
            await http.post(url, content=b"x" * (MAX_BODY_BYTES + 1), headers=right),
            await http.post(url, content=b"not json", headers=right),
            await http.post(url, content=b"[]", headers=right),
            await http.post(url, content=b'{"update_id": 1, "message": ' + b"[" * 100_000, headers=right),
            await http.post(url, content=b'{"update_id": 1, "a": ' + b"[" * 500 + b"]" * 500 + b"}", headers=right),
            await http.get(url),
            await http.post(f"http://{address}/telegram", json=forged, headers=right),
        ]
    assert [answer.status_code for answer in answers] == [403, 403, 413, 400, 400, 400, 400, 405, 404]
    assert SECRET not in bot.log
    assert (await scene.ask(ada, chat, "/slogan black tea")).button("up:2")
    assert await bot.stop() == 0


async def test_after_webhooks_the_bot_can_poll_again(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    address = f"127.0.0.1:{free_port()}"
    await bot.start(WEBHOOK_URL=f"http://{address}/telegram", WEBHOOK_SECRET=SECRET, WEBHOOK_LISTEN=address)
    await bot.stop()
    ada, chat = scene.person("Ada")
    asked = sandbox.world.say(ada, chat, "/slogan written while the bot was away")
    bot.settings = {name: value for name, value in bot.settings.items() if not name.startswith("WEBHOOK")}
    await bot.start()
    assert (await scene.answer(asked, lambda message: message.button("up:1") is not None)).button("up:1")
