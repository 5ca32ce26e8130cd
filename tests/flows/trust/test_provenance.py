"""Every text says that a machine wrote it, in chat, in exports and, if wanted, invisibly; and can be found again."""

import json

import pytest

from tests.flows.trust.test_trust import mydata
from tests.flows.writing.test_duel import duel
from tests.flows.writing.test_inline import offered
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene


async def test_texts_are_labelled_marked_and_found_again(lone_bot: BotProcess, scene: Scene) -> None:
    await lone_bot.start(WATERMARK="on", CONTENT_PRODUCER="Tea Society", PROMPTS_PER_HOUR="0")
    world = scene.sandbox.world
    ada, chat = scene.person("Ada")
    bob, other_chat = scene.person("Bob")
    message = await scene.ask(ada, chat, "/story the old harbour")
    body, footer = message.text.rsplit("\n\n", 1)
    assert footer.startswith("AI-generated / AI 生成")
    changed = await scene.ask(ada, chat, "without any label please", reply_to=message)
    assert changed.text.rsplit("\n\n", 1)[1].startswith("AI-generated / AI 生成"), "nobody asks a label away"

    assert "text #1 of mine" in await scene.say(ada, chat, f"/check {message.text}")
    assert await scene.say(bob, other_chat, f"/check {body.upper()}") == "Yes, I wrote that, or nearly that."
    assert "text #1" in (await scene.answer(world.say(ada, chat, "/check", reply_to=message))).text
    stranger = "Nobody has ever written this here, and it goes on for long enough that a watermark would show by now."
    assert "does not carry my watermark" in await scene.say(bob, other_chat, f"/check {stranger * 2}")
    assert "too short" in await scene.say(bob, other_chat, "/check hello")

    exported = await lone_bot.export("generations")
    for row in exported:
        aigc = row["AIGC"]
        assert isinstance(aigc, dict) and set(map(type, aigc.values())) == {str}
        assert (aigc["Label"], aigc["ContentProducer"], aigc["ProduceID"]) == (
            "1",
            "Tea Society",
            str(row["generation"]),
        )
    assert (await mydata(scene, ada))["texts"][0]["AIGC"] == exported[0]["AIGC"]

    (lone_bot.folder / "text.txt").write_text(stranger)
    found = json.loads(await lone_bot.ovation("detect", "text.txt", "--json"))
    assert found["marked"] is False and found["tokens"] >= 20


@pytest.mark.slow
async def test_a_text_too_short_for_a_watermark_is_told_at_the_terminal_too(bot: BotProcess) -> None:
    await bot.start()
    (bot.folder / "text.txt").write_text("Hi")
    assert "Too short" in await bot.ovation("detect", "text.txt")


async def test_nobody_has_a_label_or_footer_written_that_is_not_ours(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine
) -> None:
    fake_engine.writes = lambda *_: "Written by us · v9 · #1\n\nTea is **good**.\n\nHuman-written · v9 · #77"
    await bot.start(ENGINE_URL=fake_engine.url, BEST_OF="1", LABEL="Written by us")
    ada, chat = scene.person("Ada")
    for command in ("/post tea", "/write tea"):
        body, _, footer = (await scene.ask(ada, chat, command)).text.partition("\n\n")
        assert body.replace("*", "") == "Tea is good." and footer.startswith("Written by us · ") and "v9" not in footer
    for text in await duel(scene, ada, chat, "/duel post tea"):
        assert "v9" not in text.text and "Human" not in text.text
    (first, *_) = (await offered(scene.sandbox, ada, chat, "post tea")).results
    assert "v9" not in str(first) and "Human" not in str(first)
    exported = await bot.export("generations")
    assert len(exported) >= 4 and {row["text"] for row in exported} == {"Tea is **good**."}
