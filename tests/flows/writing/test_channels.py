"""Channels: an editor's command is answered by a post; readers rate it; reactions are counted and teach nothing."""

import asyncio

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed, values


async def posted(sandbox: Sandbox, editor: Person, channel: Chat, words: str, *, shows: str = "") -> SeenMessage:
    """The post that answers a post, once it is as wanted: with buttons, or with some words."""
    world = sandbox.world
    asked = world.say(editor, channel, words)

    def answer() -> SeenMessage | None:
        replies = [message for message in world.messages(channel) if message.reply_to == asked.id]
        return next((m for m in replies if (shows in m.text if shows else m.button("up:") is not None)), None)

    return await world.until(answer, 60)


async def counted(bot: BotProcess, *expected: tuple[str, int]) -> None:
    """Wait until reactions of nobody in particular are counted so."""
    async with asyncio.timeout(20):
        while bot.statistics().unnamed != expected:
            await asyncio.sleep(0.05)


async def test_a_command_in_a_channel_is_answered_by_a_post_that_readers_rate(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(PROMPTS_PER_HOUR="2")
    world = sandbox.world
    root, office = scene.person("Root", person_id=ADMIN_ID)
    channel = world.add_channel("News")
    eve, bob, cyd = (world.add_person(name) for name in ("Eve", "Bob", "Cyd"))
    for person in (eve, bob, cyd):
        world.join(person, channel)
    for chatter in ("good morning", "/weather Paris", "@ovation_bot hello"):
        world.say(eve, channel, chatter)
    text = await posted(sandbox, eve, channel, "/slogan green tea")
    assert [button.text for button in text.buttons] == ["👍", "👎"], "readers may not ask the bot for posts"

    world.react(bob, text, ["👍"])
    world.react(cyd, text, ["👍"])
    await counted(bot, ("👍", 2))
    assert "👍 2" in await scene.say(root, office, "/stats"), "even if nobody has rated by name"
    world.react(cyd, text, ["🔥"])
    await counted(bot, ("👍", 1), ("🔥", 1))
    thanks, _ = await world.press(bob, text, "up:1"), await world.press(cyd, text, "down:1")
    assert thanks is not None and thanks.text == "Thank you, that counts."
    await world.until(lambda: [b.text for b in world.current(text).buttons] == ["👍 1", "👎 1"], 15)
    assert [row["consented"] for row in await values(bot, 1.0, -1.0)] == [False, False]
    assert "nobody's in particular: 👍 1  🔥 1" in await bot.ovation("stats")
    picture = await scene.answer(world.say(root, office, "/stats"), lambda m: m.attachment is not None, seconds=30)
    assert "without saying whose they are" in picture.text and picture.text.endswith("👍 1  🔥 1")

    await posted(sandbox, eve, channel, "/poem", shows="What about?")
    await posted(sandbox, eve, channel, "/poem 雨")
    await posted(sandbox, eve, channel, "/poem 雪", shows="2 次")
    assert len(world.messages(channel)) == 11, "three of talk, four commands and four answers; no question of consent"

    assert "is banned" in await confirmed(scene, root, office, "/ban #1")
    world.say(eve, channel, "/slogan rain")
    await world.until(lambda: not world.updates.pending or None, 20)
    assert "no longer banned" in await scene.say(root, office, "/unban #1")
    assert len(world.messages(channel)) == 12


async def test_reactions_of_anonymous_admins_are_counted_and_rate_nothing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, eve) = await scene.company("Ada", "Eve")
    text = await scene.ask(ada, group, "/slogan green tea")
    world.react(eve, text, ["👎"], anonymous=True)
    await counted(bot, ("👎", 1))
    world.react(eve, text, ["👍"], anonymous=True)
    await counted(bot, ("👍", 1))
    assert bot.exported("ratings") == []
    world.react(ada, text, ["❤"])
    await values(bot, 1.0)
    picture = await scene.answer(world.say(ada, group, "/stats"), lambda m: m.attachment is not None, seconds=30)
    assert "❤ 1" in picture.text and picture.text.endswith("👍 1")
