"""With ENGINE_URL the bot starts no engine of its own and uses the one it is given."""

import psutil

from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene


async def test_the_bot_uses_the_engine_that_it_is_given(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    assert bot.process is not None
    assert psutil.Process(bot.process.pid).children() == []
    ada, chat = scene.person("Ada")
    assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text


async def test_a_server_with_a_lock_gets_its_key_with_every_call(bot: BotProcess, scene: Scene) -> None:
    async with FakeEngine(key="sk-of-the-test").running() as locked:
        await bot.start(ENGINE_URL=locked.url, ENGINE_KEY="sk-of-the-test")
        ada, chat = scene.person("Ada")
        assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text
        assert len(locked.asked) == 1 and locked.refused == 0
        assert "sk-of-the-test" not in bot.log
        await bot.stop()
