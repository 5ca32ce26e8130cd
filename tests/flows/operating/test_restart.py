"""A restart, or a kill at a bad moment, loses no prompt, answers none twice, and keeps every rating."""

import asyncio
import signal

import psutil

from bot.sandbox.server import Sandbox
from tests.support.scene import BotProcess, Scene, values


async def test_prompts_survive_kill_nine_and_are_answered_once(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    pairs = [scene.person(f"Person {number}") for number in range(5)]
    asked = [
        sandbox.world.say(person, chat, f"/story the lighthouse {number}")
        for number in range(4)
        for person, chat in pairs
    ]
    await sandbox.world.until(lambda: len(sandbox.calls_of("sendMessage")) >= 5, 30)
    await bot.stop(signal.SIGKILL)
    await bot.start()
    answers = await asyncio.gather(*(scene.answer(m, lambda a: a.button("up:") is not None) for m in asked))
    assert len({answer.id for answer in answers}) == len(asked)
    rows = await bot.export("generations")
    assert len(rows) == len(asked)
    for message in asked:
        finished = [answer for answer in sandbox.world.answers(message) if answer.button("up:")]
        assert len(finished) == 1


async def test_ratings_and_consents_survive_a_restart(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.opt_in(ada, chat)
    message = await scene.ask(ada, chat, "/slogan green tea")
    sandbox.world.react(ada, message, ["👍"])
    await values(bot, 1.0)
    assert await bot.stop() == 0
    sandbox.world.react(ada, message, ["👎"])
    sandbox.world.say(ada, chat, "/slogan written while the bot was away")
    await bot.start()
    (row,) = await values(bot, -1.0)
    assert row["consented"] is True
    await sandbox.world.until(lambda: sandbox.world.messages(chat)[-1].button("up:2"), 60)


async def test_a_dead_engine_is_started_again_and_the_prompt_is_answered(
    lone_bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await lone_bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    assert lone_bot.process is not None
    (engine,) = [c for c in psutil.Process(lone_bot.process.pid).children() if "engine.serve" in c.cmdline()]
    engine.kill()
    assert (await scene.ask(ada, chat, "/slogan black tea")).button("up:2") is not None


async def test_the_bot_itself_stays_small_and_without_torch(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    assert not any("libtorch" in mapping.path for mapping in process.memory_maps())
    assert process.memory_info().rss < 150 * 2**20
