"""The operator's terminal beside a running bot: it writes and reports, and disturbs nothing."""

import json

from bot.sandbox.server import Sandbox
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values


async def test_the_operator_writes_and_reports_while_the_bot_goes_on(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    text = await scene.ask(ada, chat, "/slogan peppermint lighthouse")
    sandbox.world.react(ada, text, ["❤"])
    await values(bot, 1.0)
    root, office = scene.person("Root", person_id=ADMIN_ID)
    await scene.answer(sandbox.world.say(root, office, "/retrain"), lambda message: "skipped" in message.text)
    before = await bot.export("generations")

    told = json.loads(await bot.ovation("generate", "night trains", "--kind", "poem", "--json"))
    assert told["version"] == "starter" and told["text"] and told["kind"] == "poem"
    printed = await bot.ovation("report")
    page = (bot.folder / printed.strip()).read_text(encoding="utf-8")
    for words in ("1 text, 1 rating", "slogan", "❤", "Run 1:", "0 ratings with consent so far; a run needs 50."):
        assert words in page, words
    shown = text.text.rsplit("\n\n", 1)[0]
    for secret in ("peppermint", "lighthouse", shown, "Ada", "night trains"):
        assert secret not in page
    numbers = json.loads(await bot.ovation("report", "--json"))
    assert [run["reason"] for run in numbers["runs"]] == ["too_few_ratings"]

    assert await bot.export("generations") == before, "nothing of it is stored"
    assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text
    assert await bot.stop() == 0
