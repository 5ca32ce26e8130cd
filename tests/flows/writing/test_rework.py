"""Changing a text by a button, stopping what is coming, and looking back on what was liked."""

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import SeenMessage
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene, confirmed


def wishes(message: SeenMessage) -> list[str]:
    return [
        button.callback_data or "" for button in message.buttons if (button.callback_data or "").startswith("wish:")
    ]


async def test_a_wish_is_offered_pressed_and_fulfilled_with_the_thread_as_context(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    for language, words, topic in (("en", "make it shorter", "green tea"), ("zh", "短一点", "绿茶")):
        person, chat = scene.person(f"Ada {language}", language)
        text = await scene.ask(person, chat, f"/post {topic}")
        refine = text.button("refine:")
        assert refine is not None and refine.callback_data is not None
        said = await world.press(person, text, refine.callback_data)
        assert said is not None and not said.is_alert
        offered = await world.until(lambda text=text: wishes(world.current(text)), 20)
        assert [wish.rpartition(":")[2] for wish in offered] == ["shorter", "longer", "funnier", "serious"]
        assert world.current(text).button("up:") is not None, "it can be rated meanwhile"
        await world.press(person, text, offered[0])
        changed = await scene.answer(text, lambda answer: answer.button("up:") is not None)
        assert changed.text != text.text
        row = (await bot.export("generations"))[-1]
        assert [turn["content"] for turn in row["messages"]][-1] == words  # type: ignore[attr-defined]
        assert row["parent"] == row["generation"] - 1  # type: ignore[operator]


async def test_a_text_that_is_seen_can_be_pressed_wished_about_and_reported_before_it_is_recorded_as_delivered(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    answered = sandbox.faults.hold("editMessageText", times=2)  # people see the texts; the bot does not know it yet
    text, other = [await scene.ask(ada, group, f"/slogan {topic}") for topic in ("green tea", "chess")]
    assert bot.rows("SELECT state FROM generations") == [("written",), ("written",)]
    for data in ("up:1", "refine:1"):
        said = await world.press(bob, text, data)
        assert said is not None and not said.is_alert
    await world.press(bob, text, "again:1")
    await scene.answer(text, lambda answer: answer.button("up:3") is not None)
    await scene.ask(bob, group, "shorter", reply_to=text)
    assert "hidden" in (await scene.answer(world.say(bob, group, "/report", reply_to=other))).text
    answered.set()
    await world.until(lambda: wishes(world.current(text)) and world.current(text).button("up:1").text == "👍 1", 20)
    await world.until(lambda: not world.current(other).buttons or None, 20)
    assert "chess" not in world.current(other).text


async def test_a_wish_about_a_text_that_is_gone_is_a_sentence(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    text = await scene.ask(ada, chat, "/slogan green tea")
    await sandbox.world.press(ada, text, "refine:1")
    await sandbox.world.until(lambda: wishes(sandbox.world.current(text)), 20)
    assert (await confirmed(scene, ada, chat, "/forget")).startswith("Done.")
    for data in ("refine:1", "wish:1:shorter"):
        said = await sandbox.world.press(ada, text, data)
        assert said is not None and "no longer here" in (said.text or "")


async def test_cancel_stops_what_is_coming_for_that_person_in_that_chat_and_nothing_else(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    assert "not writing anything" in await scene.say(ada, group, "/cancel")
    fake_engine.hold()
    asked = [world.say(ada, group, f"/story the lighthouse {number}") for number in range(2)]
    his = world.say(bob, group, "/story the harbour")
    for one in (*asked, his):
        await scene.answer(one, lambda answer: answer.button("stop:") is not None)
    said = await scene.say(ada, group, "/cancel")
    assert said == "All 2 are stopped."
    fake_engine.release()
    for one in asked:
        await scene.answer(one, lambda answer: answer.text.startswith("⏹") and not answer.buttons)
    await scene.answer(his, lambda answer: answer.button("up:") is not None)


async def test_a_placeholder_that_a_cancel_has_left_behind_goes_when_its_button_is_pressed(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    sandbox.faults.hang("sendMessage", takes_effect=True)  # it is sent, and the bot never learns in which message
    asked = sandbox.world.say(ada, chat, "/story the lighthouse")
    placeholder = await scene.answer(asked, lambda answer: answer.button("stop:") is not None)
    assert await scene.say(ada, chat, "/cancel") == "Stopped."
    said = await sandbox.world.press(ada, placeholder, "stop:1")
    assert said is not None and "Stopped" in (said.text or "")
    assert sandbox.world.answers(asked) == ()


async def test_top_shows_what_the_chat_likes_best_without_what_is_hidden(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    elsewhere = world.private_chat(ada)
    assert "nobody has liked" in await scene.say(ada, group, "/top")
    texts = [await scene.ask(ada, group, f"/slogan {topic}") for topic in ("green tea", "chess", "trains", "rain")]
    world.react(ada, await scene.ask(ada, elsewhere, "/slogan the sea"), ["👍"])
    for text in (texts[0], texts[1], texts[2]):
        world.react(ada, text, ["👍"])
    for text, emoji in ((texts[1], "❤"), (texts[2], "👎"), (texts[3], "👎")):
        world.react(bob, text, [emoji])

    async def top() -> str:
        return await scene.say(bob, group, "/top")

    await world.until(lambda: not world.updates.pending or None, 20)
    shown = await top()
    first, second = texts[1].text.split("\n\n")[0].split("\n")[0], texts[0].text.split("\n\n")[0].split("\n")[0]
    assert shown.index(f"1. {first[:40]}") < shown.index(f"2. {second[:40]}")
    assert "👍 2 · #2" in shown and "👍 1 · #1" in shown and "3." not in shown.split("#1")[1]
    assert "AI-generated" in shown and f"/{texts[1].id}" in shown
    world.say(ada, group, "/report", reply_to=texts[1])
    await world.until(lambda: "up:" not in str(world.current(texts[1]).buttons) or None, 20)
    assert "#2" not in await top()
