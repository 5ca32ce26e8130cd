"""Telegram may be slow, away, or ask for patience: nothing is lost, nothing is doubled, and other chats go on."""

import asyncio
from pathlib import Path

import pytest

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import SeenMessage
from tests.support.scene import ADMIN_ID, BotProcess, Scene


def finished(sandbox: Sandbox, asked: SeenMessage) -> list[SeenMessage]:
    return [answer for answer in sandbox.world.answers(asked) if answer.button("up:")]


async def test_a_chat_that_must_wait_waits_and_no_other_does(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    (ada, adas), (bob, bobs) = scene.person("Ada"), scene.person("Bob")
    await scene.ask(bob, bobs, "/slogan black tea")
    sandbox.faults.refuse("sendMessage", 429, times=1, retry_after_seconds=2)
    asked = sandbox.world.say(ada, adas, "/slogan green tea")
    await sandbox.world.until(lambda: sandbox.calls[-1].status == 429 or None, 10)
    await scene.ask(bob, bobs, "/slogan white tea")
    assert finished(sandbox, asked) == []
    await scene.answer(asked, lambda answer: answer.button("up:") is not None)
    refused, tried_again = [c for c in sandbox.calls_of("sendMessage") if str(c.params.get("chat_id")) == str(adas.id)]
    assert (tried_again.at - refused.at).total_seconds() >= 2.0


@pytest.mark.parametrize("fault", ["cut", pytest.param("hang", marks=pytest.mark.slow)])  # which is given 15 s
async def test_an_answer_that_was_lost_on_its_way_back_doubles_a_placeholder_at_most(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fault: str
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    lose = sandbox.faults.cut if fault == "cut" else sandbox.faults.hang
    lose("sendMessage", takes_effect=True)
    if fault == "cut":  # an edit that hangs is the same, fifteen seconds later
        lose("editMessageText", takes_effect=True)
    asked = sandbox.world.say(ada, chat, "/slogan green tea")
    await scene.answer(asked, lambda answer: answer.button("up:") is not None)
    await bot.settled()
    assert len(finished(sandbox, asked)) == 1
    orphans = [answer for answer in sandbox.world.answers(asked) if answer.button("stop:")]
    assert len(orphans) == 1

    pressed = await sandbox.world.press(ada, orphans[0], "stop:1")
    assert pressed is not None and "leftover" in (pressed.text or "")
    assert orphans[0] not in sandbox.world.messages(chat) and len(finished(sandbox, asked)) == 1


async def test_a_telegram_that_is_broken_for_a_while_loses_nothing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(PACING="off")
    ada, chat = scene.person("Ada")
    for method in ("getUpdates", "sendMessage", "editMessageText"):
        sandbox.faults.refuse(method, 502, times=2)
        sandbox.faults.cut(method, takes_effect=False)
    asked = [sandbox.world.say(ada, chat, f"/slogan tea {number}") for number in range(3)]
    for message in asked:
        await scene.answer(message, lambda answer: answer.button("up:") is not None)
    assert [len(finished(sandbox, message)) for message in asked] == [1, 1, 1]


async def test_a_network_that_is_gone_at_the_start_and_again_later_is_waited_out(
    tmp_path: Path, engine_url: str
) -> None:
    async with Sandbox(admin_id=ADMIN_ID) as first:
        port = int(first.url.rsplit(":", 1)[1])
    world = first.world
    bot = BotProcess(first, tmp_path, engine_url)
    await bot.spawn()
    await told(bot, "Telegram cannot be reached")
    ada = world.add_person("Ada")
    chat = world.private_chat(ada)
    asked = [world.say(ada, chat, "/slogan green tea")]
    for absence in (1, 2):
        # the same world comes back under the same address
        async with Sandbox(admin_id=ADMIN_ID, port=port, world=world):
            for message in asked:
                await world.until(lambda message=message: any(a.button("up:") for a in world.answers(message)), 60)
        asked.append(world.say(ada, chat, f"/slogan tea after {absence}"))
        await told(bot, "no updates: Telegram cannot be reached", times=2 * absence)
    async with Sandbox(admin_id=ADMIN_ID, port=port, world=world):
        await world.until(lambda: any(a.button("up:") for a in world.answers(asked[-1])), 60)
        assert await bot.stop() == 0
    assert all(sum(a.button("up:") is not None for a in world.answers(message)) == 1 for message in asked)


async def told(bot: BotProcess, words: str, *, times: int = 1) -> None:
    """Wait until the bot has logged something so often."""
    async with asyncio.timeout(60):
        while bot.log.count(words) < times:
            await asyncio.sleep(0.05)


async def test_people_who_block_us_and_messages_that_are_deleted_end_quietly(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    (ada, adas), (bob, bobs) = scene.person("Ada"), scene.person("Bob")
    await scene.ask(ada, adas, "/slogan green tea")
    sandbox.world.say(ada, adas, "/story the lighthouse")
    sandbox.world.set_bot_status(adas, "kicked")
    asked = sandbox.world.say(bob, bobs, "/story the harbour")
    placeholder = await scene.answer(asked, lambda answer: answer.button("stop:") is not None)
    sandbox.world.state.drop(placeholder)
    await scene.ask(bob, bobs, "/slogan black tea")
    await bot.settled()
    calls = len(sandbox.calls_of("sendMessage")) + len(sandbox.calls_of("editMessageText"))
    await asyncio.sleep(0.5)
    assert len(sandbox.calls_of("sendMessage")) + len(sandbox.calls_of("editMessageText")) == calls
    rows = {(row["generation"], row["text"] is None) for row in await bot.export("generations")}
    assert len(rows) == 2  # the two slogans; the two stories have ended without being shown
    assert "given up" not in bot.log and "Traceback" not in bot.log


async def test_a_group_that_becomes_a_supergroup_ends_what_was_under_way(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    ada = world.add_person("Ada")
    group = world.add_group("Tea lovers", kind="group", bot_admin=True)
    world.join(ada, group)
    sandbox.faults.refuse("sendMessage", 502, times=1)
    world.say(ada, group, "/slogan green tea")
    moved = world.migrate(group)
    assert (await scene.ask(ada, moved, "/slogan black tea")).button("up:")
    assert "Traceback" not in bot.log
