"""Brought into a group, promoted, demoted, shown out, moved: a message where there is something to say."""

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from tests.support.scene import BotProcess, Scene, values


def said_in(sandbox: Sandbox, chat: Chat) -> list[SeenMessage]:
    return [message for message in sandbox.world.messages(chat) if message.service is None]


async def test_the_bot_says_once_what_it_sees_and_what_is_missing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, _bob) = await scene.company("Ada", "Bob")
    said = [
        ("left", None),
        ("member", "What is missing"),
        ("administrator", "every emoji is a rating"),
        ("member", "no longer an administrator here"),
        ("kicked", None),
        ("administrator", "Nothing is missing"),
    ]
    expected: list[str] = []
    for status, words in said:
        world.set_bot_status(group, status, by=ada)  # type: ignore[arg-type]
        if words is not None:
            expected.append(words)
            await world.until(lambda: len(said_in(sandbox, group)) == len(expected) or None, 20)
    for message, words in zip(said_in(sandbox, group), expected, strict=True):
        assert words in message.text and message.reply_to is None
    world.set_bot_status(group, "administrator", by=ada)
    await world.until(lambda: not world.updates.pending or None, 20)
    assert len(said_in(sandbox, group)) == len(expected), "the same standing again is no news"


async def test_a_bot_that_is_shown_everything_says_so(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    sandbox.world.state.privacy_mode = False
    await bot.start()
    group, (ada,) = await scene.company("Ada")
    sandbox.world.set_bot_status(group, "left", by=ada)
    sandbox.world.set_bot_status(group, "member", by=ada)
    hello = await sandbox.world.until(lambda: next(iter(said_in(sandbox, group)), None), 20)
    assert "shows me everything" in hello.text and "What is missing" in hello.text


async def test_a_channel_is_not_written_to(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    world = sandbox.world
    zoe, hers = scene.person("Zoe", "zh")
    await scene.say(zoe, hers, "/help")
    channel = world.add_group("News", kind="channel", bot_admin=True)
    world.set_bot_status(channel, "left", by=zoe)
    world.set_bot_status(channel, "administrator", by=zoe)
    told = await world.until(lambda: next((m for m in world.messages(hers) if "News" in m.text), None), 20)
    assert "频道" in told.text and "什么都不缺" in told.text and world.messages(channel) == ()
    world.set_bot_status(channel, "left", by=zoe)
    world.state.of(channel).may_post = False
    world.set_bot_status(channel, "administrator", by=zoe)
    await world.until(lambda: any("发布消息的权限" in m.text for m in world.messages(hers)) or None, 20)


async def test_a_group_that_becomes_a_supergroup_keeps_its_consents_and_its_texts(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group = world.add_group("Tea lovers", kind="group", bot_admin=True)
    ada = world.add_person("Ada")
    world.join(ada, group)
    await scene.opt_in(ada, group)
    world.react(ada, await scene.ask(ada, group, "/slogan green tea"), ["👍"])
    await values(bot, 1.0)
    moved = world.migrate(group)
    assert "already" in await scene.say(ada, moved, "/optin")
    assert "👍 1 · #1" in await scene.say(ada, moved, "/top")
    assert [row["consented"] for row in await bot.export("ratings")] == [True]
    assert (await scene.ask(ada, moved, "/slogan black tea")).button("up:")
    sentences = [message.text for message in said_in(sandbox, moved)]
    assert not any("One question" in text for text in sentences), "it was asked in the old group"
