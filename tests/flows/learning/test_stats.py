"""Pictures and tables of what is learned: in chat, and at the operator's terminal."""

import json

from bot.sandbox.server import Sandbox
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values


async def test_stats_are_a_picture_with_the_numbers_of_the_chat_and_for_the_admin_of_all(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    (zoe, hers), (root, office) = scene.person("Zoe", "zh"), scene.person("Root", person_id=ADMIN_ID)
    assert "Nothing to draw yet" in await scene.say(ada, group, "/stats")
    text = await scene.ask(ada, group, "/slogan green tea")
    world.react(ada, text, ["👍"])
    world.react(bob, text, ["❤"])
    world.react(zoe, await scene.ask(zoe, hers, "/poem 绿茶"), ["👎"])
    await values(bot, 1.0, 1.0, -1.0)
    for person, chat, words in (
        (ada, group, "here: one text, 2 ratings"),
        (root, office, "in all chats: 2 texts, 3 ratings"),
        (zoe, hers, "1 段文字，1 个评价"),
    ):
        picture = await scene.answer(world.say(person, chat, "/stats"), seconds=30)
        assert words in picture.text, picture.text
        assert picture.attachment is not None
    photos = [call.params["photo"] for call in sandbox.calls if call.method == "sendPhoto"]
    assert len(photos) == 3 and all(getattr(photo, "content", b"").startswith(b"\x89PNG") for photo in photos)
    assert "❤ 1  👍 1" in (await scene.answer(world.say(ada, group, "/stats"), seconds=30)).text


async def test_the_operator_sees_tables_or_json_while_the_bot_runs(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    sandbox.world.react(ada, await scene.ask(ada, chat, "/slogan green tea"), ["👍"])
    await values(bot, 1.0)
    table = await bot.ovation("stats")
    assert "slogan" in table and "100%" in table and "1 texts and 1 ratings in 30 days. 👍 1" in table
    numbers = json.loads(await bot.ovation("stats", "--json"))
    assert numbers["versions"] == [{"label": "starter", "texts": 1, "likes": 1, "dislikes": 0}]
    assert "champion" in await bot.ovation("models")
    assert json.loads(await bot.ovation("models", "--json"))[0]["name"] == "starter"
