"""/check alone: people see live whether their reactions and presses reach the bot, and what to do if they do not."""

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from tests.support.scene import BotProcess, Scene


async def begun(scene: Scene, person: Person, chat: Chat, *, asks: str = "A test") -> SeenMessage:
    asked = scene.sandbox.world.say(person, chat, "/check")
    return await scene.answer(asked, lambda message: asks in message.text and message.button("live") is not None)


async def test_reactions_and_presses_show_as_they_arrive_and_are_no_ratings(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    forum = world.add_group("Tea lovers", bot_admin=True, is_forum=True)
    ada, zoe = world.add_person("Ada"), world.add_person("Zoe", "zh")
    for person in (ada, zoe):
        world.join(person, forum)
    topic = world.open_topic(ada, forum, "Green")
    asked = world.say(ada, forum, "/check", topic=topic)
    check = await scene.answer(asked, lambda message: message.button("live") is not None)
    assert check.thread == topic
    world.react(zoe, check, ["👎"])
    await world.until(lambda: "Reactions: ✅ arrived" in world.current(check).text, 15)
    answer = await world.press(ada, check, "live")
    assert answer is not None and answer.text == "Your press has reached me."
    await world.until(lambda: "All is well" in world.current(check).text, 15)
    world.react(zoe, check, ["👍"])

    other = await begun(scene, *scene.person("Mei", "zh"), asks="测试")
    await bot.stop()
    await bot.start()
    mei = next(person for person in world.people if person.name == "Mei")
    stale = await world.press(mei, other, "live")
    assert stale is not None and stale.is_alert and "/check" in (stale.text or "")
    assert bot.exported("ratings") == []


async def test_what_keeps_reactions_away_is_said_after_a_while(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    world = sandbox.world
    ada, private = scene.person("Ada")
    plain, still, narrow = (
        world.add_group(title, bot_admin=is_admin)
        for title, is_admin in (("Plain", False), ("Still", True), ("Narrow", True))
    )
    world.state.of(still).reactions = ()
    world.state.of(narrow).reactions = ("🤔",)
    for group in (plain, still, narrow):
        world.join(ada, group)
    checks = [await begun(scene, ada, chat) for chat in (private, plain, still, narrow)]
    world.react(ada, checks[1], ["👍"])  # Telegram tells only administrators
    for check, words in zip(
        checks,
        ("private chats", "I am not an administrator here", "Reactions are turned off", "none tells me whether"),
        strict=True,
    ):
        await world.until(lambda check=check, words=words: words in world.current(check).text, 60)  # type: ignore[misc]
    world.set_bot_status(plain, "administrator")
    world.react(ada, checks[1], ["❤"])
    await world.until(lambda: "Reactions: ✅ arrived" in world.current(checks[1]).text, 15)
