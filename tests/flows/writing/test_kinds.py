"""Kinds of one's own: a file, a command, a menu in each language."""

import json

from bot.common.kinds import SHIPPED
from bot.sandbox.server import Sandbox
from tests.bot.common.test_kinds import GOOD
from tests.support.scene import ADMIN_ID, BotProcess, Scene


async def test_a_kind_of_the_operators_own_is_in_the_menu_and_answers(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    file = bot.folder / "kinds.toml"
    file.write_text(SHIPPED.read_text() + GOOD)
    await bot.start(KINDS_FILE=str(file))
    ada, chat = scene.person("Ada")
    assert (await scene.ask(ada, chat, "/limerick a cat from Berlin")).button("up:")
    assert "/limerick — A limerick" in await scene.say(ada, chat, "/help")
    menus = {
        (str(call.params.get("scope", "default")), str(call.params.get("language_code", ""))): [
            (command["command"], command["description"]) for command in json.loads(str(call.params["commands"]))
        ]
        for call in sandbox.calls
        if call.method == "setMyCommands"
    }
    assert len(menus) == 6, "everywhere, in groups and for the admin, in two languages"
    for (scope, language), commands in menus.items():
        assert ("limerick", "打油诗" if language == "zh" else "A limerick") in commands
        names = [name for name, _ in commands]
        assert ("mydata" in names) is ("group" not in scope)
        assert ("retrain" in names) is (str(ADMIN_ID) in scope)
    assert [row["kind"] for row in await bot.export("generations")] == ["limerick"]


async def test_a_mistake_in_the_file_ends_the_start_with_its_line(bot: BotProcess) -> None:
    file = bot.folder / "kinds.toml"
    file.write_text(GOOD.replace("90", '"many"'))
    bot.settings["KINDS_FILE"] = str(file)
    await bot.spawn()
    assert bot.process is not None
    assert await bot.process.wait() == 2
    assert "KINDS_FILE" in bot.log and f"{file}:3: The kind limerick needs a length" in bot.log


async def test_a_language_that_the_model_does_not_write_is_refused_with_a_sentence(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    file = bot.folder / "kinds.toml"
    file.write_text(
        SHIPPED.read_text().partition("# Profiles")[0] + '[profiles.any]\nmatch = ["*"]\nlanguages = ["en"]\n'
    )
    await bot.start(KINDS_FILE=str(file))
    lin, chat = scene.person("林", "zh")
    assert await scene.say(lin, chat, "/slogan 绿茶") == "这里的模型只会写英文。请用英文提出要求。"
    assert (await scene.ask(lin, chat, "/slogan green tea")).button("up:")
