"""What each person chooses for themselves in a chat, by buttons that change in place, and what comes of it."""

import httpx

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Person, SeenMessage
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene


async def choose(scene: Scene, person: Person, menu: SeenMessage, name: str, value: str) -> str:
    """Press a setting until it has this value; returns what the last press was answered with."""
    world = scene.sandbox.world
    said = None
    for _ in range(4):
        button = world.current(menu).button(f"set:{name}:")
        assert button is not None and button.callback_data is not None
        said = await world.press(person, menu, button.callback_data)
        assert said is not None
        await world.until(lambda old=button: world.current(menu).button(f"set:{name}:") != old or None, 20)
        if button.callback_data.split(":")[2] == value:
            return said.text or ""
    raise AssertionError(f"{name} never becomes {value}")


async def test_the_language_is_the_chosen_one_here_and_telegrams_elsewhere(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    menu = await scene.answer(world.say(ada, group, "/settings"))
    assert menu.buttons[0].text.endswith("as in Telegram")
    assert await choose(scene, ada, menu, "language", "zh") == "好的。"
    assert "设置" in world.current(menu).text and "语言：中文" in str(world.current(menu).buttons)
    assert "/optin" in await scene.say(ada, group, "/privacy") and "保存" in await scene.say(ada, group, "/privacy")
    assert "Reply to a text" in await scene.say(bob, group, "/report"), "he has chosen nothing"
    assert "Reply to a text" in await scene.say(ada, world.private_chat(ada), "/report"), "she has chosen nothing there"
    assert "请" in await scene.say(ada, group, "/report"), "refusals are in her language, too"
    said = await choose(scene, ada, menu, "language", "telegram")
    assert said == "Done." and "Your settings" in world.current(menu).text
    assert "Reply to a text" in await scene.say(ada, group, "/report")


async def test_tone_length_temperature_and_footer_hold_from_the_next_text_on(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    before = await scene.ask(ada, chat, "/slogan green tea")
    assert before.text.rsplit("\n\n", 1)[1].count(" · ") == 2
    menu = await scene.answer(sandbox.world.say(ada, chat, "/settings"))
    for name, value in (("tone", "funny"), ("length", "short"), ("temperature", "high"), ("footer", "short")):
        assert await choose(scene, ada, menu, name, value) == "Done."
    after = await scene.ask(ada, chat, "/slogan green tea")
    chinese = await scene.ask(ada, chat, "/slogan 绿茶")
    bob, bobs_chat = scene.person("Bob")
    others = await scene.ask(bob, bobs_chat, "/slogan green tea")
    label = before.text.rsplit("\n\n", 1)[1].split(" · ")[0]
    assert [text.text.rsplit("\n\n", 1)[1] for text in (after, chinese)] == [label, label]
    assert others.text.rsplit("\n\n", 1)[1].count(" · ") == 2
    first, second, third, fourth = [one["messages"][0]["content"] for one in fake_engine.asked]
    assert second == f"{first} Be funny. Keep it short." and third.endswith("要有趣。写短一点。") and fourth == first
    assert [one["temperature"] for one in fake_engine.asked] == [0.8, 1.1, 1.1, 0.8]


async def test_a_keyboard_of_before_an_upgrade_is_answered_with_a_sentence(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    ada, chat = scene.person("Ada")
    menu = await scene.answer(world.say(ada, chat, "/settings"))
    owner = str(menu.buttons[0].callback_data).rpartition(":")[2]
    for data in (f"set:tone:solemn:{owner}", f"set:colour:red:{owner}"):
        keyboard = {"inline_keyboard": [[{"text": "as it was", "callback_data": data}]]}
        async with httpx.AsyncClient() as http:
            await http.post(
                f"{sandbox.url}/bot{sandbox.token}/editMessageReplyMarkup",
                json={"chat_id": chat.id, "message_id": menu.id, "reply_markup": keyboard},
            )
        said = await world.press(ada, menu, data)
        assert said is not None and said.is_alert and "older message" in (said.text or "")
