"""/about tells what wrote a text and what it learned from."""

from tests.flows.trust.test_trust import talk, version_that_learned
from tests.support.scene import BotProcess, Scene
from tests.support.stored.extra_version import VERSION


async def test_about_tells_of_the_base_of_a_version_and_of_one_that_is_gone(bot: BotProcess, scene: Scene) -> None:
    await bot.start(PRIVACY_CONTACT="Ada of the Tea Society")
    group, people = await scene.company("Ada", "Bob", agreed=True)
    await talk(scene, people, group)
    ada, chat = people[0], scene.sandbox.world.private_chat(people[0])
    alone = await scene.say(ada, chat, "/about")
    assert "Ada of the Tea Society is responsible for me" in alone and "Apache-2.0" in alone
    message = await scene.ask(ada, chat, "/slogan green tea")
    about = (await scene.answer(scene.sandbox.world.say(ada, chat, "/about", reply_to=message))).text
    assert "written by an AI, version starter" in about and "without anything learned here" in about
    await bot.stop()
    await version_that_learned(bot)
    await bot.start()
    message = await scene.ask(ada, chat, "/slogan night trains")
    about = (await scene.answer(scene.sandbox.world.say(ada, chat, "/about", reply_to=message))).text
    assert VERSION in about and "its files were deleted or not kept" in about
