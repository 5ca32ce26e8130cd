"""Processes are killed, stopped, frozen and doubled: what was accepted is answered once, and nobody else gets in."""

import asyncio
import signal
import sys

import pytest

from benchmarks.kills import kill_again_and_again
from bot.sandbox.server import Sandbox
from tests.support.fake_engine import FakeEngine
from tests.support.quick_bot import QUICK
from tests.support.scene import BotProcess, Scene


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_twenty_kills_at_random_moments_lose_nothing_and_double_no_answer(
    bot: BotProcess, sandbox: Sandbox
) -> None:
    toll = await kill_again_and_again(sandbox, bot, kills=20, seed=7)
    assert toll.prompts >= 20 and toll.ratings >= 5
    assert toll.is_clean, toll
    assert await bot.stop() == 0


async def test_sigterm_with_200_queued_prompts_waits_for_none_of_them_and_resumes_after(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    fake_engine.hold()  # whoever waited for a text would wait for ever
    # the stand-in holds nobody back, and the test is about something else
    await bot.start(PACING="off", ENGINE_URL=fake_engine.url)
    pairs = [scene.person(f"Person {number}") for number in range(100)]
    asked = [sandbox.world.say(person, chat, f"/story tea {n}") for n in range(2) for person, chat in pairs]
    await sandbox.world.until(lambda: not sandbox.world.updates.pending or None, 60)
    assert await bot.stop() == 0
    fake_engine.release()
    await bot.start()
    await sandbox.world.until(
        lambda: all(any(a.button("up:") for a in sandbox.world.answers(m)) for m in asked) or None, 180
    )
    assert all(sum(a.button("up:") is not None for a in sandbox.world.answers(m)) == 1 for m in asked)


async def test_a_bot_that_was_frozen_catches_up(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    message = await scene.ask(ada, chat, "/slogan green tea")
    assert bot.process is not None
    bot.process.send_signal(signal.SIGSTOP)
    asked = sandbox.world.say(ada, chat, "/slogan black tea")
    sandbox.world.react(ada, message, ["👍"])
    await asyncio.sleep(1.5)
    assert sandbox.world.answers(asked) == ()
    bot.process.send_signal(signal.SIGCONT)
    await scene.answer(asked, lambda answer: answer.button("up:") is not None)
    assert [row["value"] for row in await bot.export("ratings")] == [1.0]


async def test_a_second_poller_elsewhere_gives_up_and_the_first_one_stays(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await asyncio.sleep(QUICK.conflict + 0.5)
    await scene.ask(ada, chat, "/slogan green tea")  # a poll is answered, and it is the token's rightful poller
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", cwd=bot.folder, stderr=asyncio.subprocess.PIPE,
        # another machine knows nothing of our locks: another place for temporary files
        env=bot.environment | {"DATA_DIR": str(bot.folder / "elsewhere"), "TMPDIR": str(bot.folder)},
    )  # fmt: skip
    _, said = await asyncio.wait_for(other.communicate(), 60)
    assert other.returncode == 2 and b"Another program is polling" in said
    assert bot.process is not None and bot.process.returncode is None
    assert (await scene.ask(ada, chat, "/slogan black tea")).button("up:")
    assert "another program polls with this token" in bot.log
