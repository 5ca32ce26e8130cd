"""Nothing teaches the model without a yes, from the one who asked and from the one who rated."""

from bot.common.i18n import CONSENT_TEXT_VERSION
from bot.sandbox.server import Sandbox
from tests.flows.trust.test_trust import mydata
from tests.flows.writing.test_strange_input import press
from tests.support.scene import BotProcess, Scene, values


async def test_a_rating_counts_for_training_only_when_author_and_rater_have_said_yes(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob")
    message = await scene.ask(ada, group, "/slogan green tea")
    world.react(bob, message, ["👍"])
    assert [row["consented"] for row in await values(bot, 1.0)] == [False]
    await scene.opt_in(ada, group)
    assert [row["consented"] for row in await values(bot, 1.0)] == [False]
    await scene.opt_in(bob, group)
    assert [row["consented"] for row in await values(bot, 1.0)] == [True]
    assert "Done." in await scene.say(ada, group, "/optout")
    assert [row["consented"] for row in await values(bot, 1.0)] == [False]


async def test_consent_is_per_chat(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    group = sandbox.world.add_group("Tea lovers", bot_admin=True)
    sandbox.world.join(ada, group)
    await scene.opt_in(ada, group)
    message = await scene.ask(ada, chat, "/slogan green tea")
    sandbox.world.react(ada, message, ["👍"])
    assert [row["consented"] for row in await values(bot, 1.0)] == [False]


async def test_start_says_that_it_is_an_ai_and_asks_in_the_persons_language(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    assert "I am an AI" in await scene.say(ada, chat, "/start")
    li, chat = scene.person("Li", "zh-hans")
    assert "AI 生成" in await scene.say(li, chat, "/start")
    assert "同意" in await scene.say(li, chat, "/privacy")
    assert "谢谢" in await scene.say(li, chat, "/optin")
    assert "已经同意" in await scene.say(li, chat, "/optin")


async def test_a_yes_to_an_old_question_is_a_yes_to_what_it_said(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    text = await scene.ask(ada, chat, "/slogan green tea")

    async def agreed_to() -> list[int]:
        return [row["text_version"] for row in (await mydata(scene, ada))["consents"]]

    assert "Thank you" in await press(sandbox, ada, text, "optin:1")
    assert await agreed_to() == [1]
    assert "Thank you" in await scene.say(ada, chat, "/optin")
    assert "already" in await press(sandbox, ada, text, "optin:1")
    assert await agreed_to() == [1, CONSENT_TEXT_VERSION]
