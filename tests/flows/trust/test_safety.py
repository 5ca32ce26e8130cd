"""What is unfit is neither asked for nor shown nor learned from, and whoever finds it can have it hidden."""

import asyncio
from pathlib import Path

from bot.sandbox.server import Sandbox
from tests.support.fake_engine import FakeEngine
from tests.support.learning.learning_fixtures import save_tiny_model
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values

UNSAFE = "f.u.c.k this"


async def test_unsafe_prompts_are_refused_and_unsafe_texts_withheld_and_no_log_repeats_them(
    bot: BotProcess, scene: Scene
) -> None:
    words = bot.folder / "words.txt"
    words.write_text("-bitch  # a kennel club\n")
    await bot.start(WORDS_FILE=str(words), LOG_LEVEL="DEBUG")
    ada, chat = scene.person("Ada")
    assert "does not write about" in await scene.say(ada, chat, f"/slogan {UNSAFE}")
    shown = await scene.ask(ada, chat, "/slogan my bitch is a good dog")
    refused = scene.sandbox.world.say(ada, chat, UNSAFE, reply_to=shown)
    assert "does not write about" in (await scene.answer(refused)).text
    assert [row["kind"] for row in await bot.export("generations")] == ["slogan"]
    await bot.stop()
    assert "a prompt is refused: insult" in bot.log
    assert UNSAFE not in bot.log and "good dog" not in bot.log


async def test_a_text_with_a_listed_word_is_written_once_more_and_then_withheld(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine
) -> None:
    words = bot.folder / "words.txt"
    words.write_text("marzipan\n")
    fake_engine.writes = lambda _, number: f"Marzipan number {number} for everybody."
    await bot.start(WORDS_FILE=str(words), ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    asked = scene.sandbox.world.say(ada, chat, "/story green leaves")
    withheld = await scene.answer(asked, lambda message: "not fit to show" in message.text)
    assert withheld.button("up:") is None
    assert len({body["seed"] for body in fake_engine.asked}) == 2
    assert await bot.export("generations") == []


async def test_a_reported_text_is_hidden_withdrawn_and_comes_back_if_an_admin_clears_it(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob", agreed=True)
    root, office = scene.person("Root", person_id=ADMIN_ID)
    await scene.say(root, office, "/help")
    assert "Reply to a text of mine" in await scene.say(bob, group, "/report")
    message = await scene.ask(ada, group, "/slogan green tea")
    body = message.text.rsplit("\n\n", 1)[0]
    world.react(bob, message, ["👍"])
    assert [row["consented"] for row in await values(bot, 1.0)] == [True]
    thanks = await scene.answer(world.say(bob, group, "/report", reply_to=message))
    assert "hidden" in thanks.text
    hidden = await world.until(lambda: body not in world.current(message).text and world.current(message), 20)
    assert not hidden.buttons
    assert [row["consented"] for row in await values(bot, 1.0)] == [False]
    told = await world.until(lambda: next((m for m in world.messages(office) if "🚩" in m.text), None), 20)
    assert body in told.text
    clear = told.button("clear:")
    assert clear is not None and clear.callback_data is not None
    await world.press(root, told, clear.callback_data)
    await world.until(lambda: body in world.current(message).text and world.current(message).buttons, 20)
    assert [row["consented"] for row in await values(bot, 1.0)] == [True]
    assert "clear #1" in await scene.say(root, office, "/audit")
    thanks = await scene.answer(world.say(ada, group, "/report", reply_to=message))
    assert "looked at this text before" in thanks.text and body in world.current(message).text


async def test_one_person_cannot_hide_everything(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    shown = await asyncio.gather(*(scene.ask(ada, chat, f"/slogan tea number {number}") for number in range(6)))
    answers = [
        (await scene.answer(scene.sandbox.world.say(ada, chat, "/report", reply_to=message))).text for message in shown
    ]
    assert ["hidden" in answer for answer in answers] == [True] * 5 + [False]
    assert "which is the limit" in answers[-1]


async def test_a_guard_that_cannot_be_understood_lets_nothing_through_unless_told_to(
    lone_bot: BotProcess, scene: Scene, tmp_path: Path
) -> None:
    guard = save_tiny_model(tmp_path / "guard")  # of random weights, so what it says of safety is no judgement
    await lone_bot.start(GUARD_MODEL=str(guard))
    ada, chat = scene.person("Ada")
    assert "does not write about" in await scene.say(ada, chat, "/slogan green tea")
    await lone_bot.stop()
    await lone_bot.start(GUARD_FAILS="open")
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:") is not None
