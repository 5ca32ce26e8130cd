"""What is peculiar to groups: topics, threads, people of several languages, and those who write as a chat."""

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from tests.support.scene import BotProcess, Scene, values


def is_written(message: SeenMessage) -> bool:
    return message.button("up:") is not None


async def test_in_a_forum_everything_is_answered_in_the_topic_where_it_was_asked(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    forum = world.add_group("Tea lovers", bot_admin=True, is_forum=True)
    ada = world.add_person("Ada")
    world.join(ada, forum)
    topic, other = world.open_topic(ada, forum, "Green"), world.open_topic(ada, forum, "Black")

    async def said(words: str, reply_to: SeenMessage | None = None, *, topic: int | None = topic) -> SeenMessage:
        return await scene.answer(world.say(ada, forum, words, reply_to=reply_to, topic=topic))

    first = await said("/slogan green tea")
    first = await world.until(lambda: is_written(world.current(first)) and world.current(first), 60)
    await world.press(ada, first, "again:1")
    await scene.answer(first, is_written)
    refined = await said("funnier", first)
    await world.until(lambda: is_written(world.current(refined)), 60)
    await world.press(ada, first, "refine:1")
    await world.until(lambda: world.current(first).button("wish:1:shorter"), 15)
    await world.press(ada, first, "wish:1:shorter")
    await scene.answer(first, lambda m: is_written(m) and m.button("up:4") is not None)
    world.react(ada, first, ["👍"])
    await values(bot, 1.0)
    sentences = [(await said(words)).text for words in ("/slogan", "/top", "/settings", "/check hello", "/forget")]
    for sentence, part in zip(
        sentences, ("What about?", "best-loved", "settings", "do not know", "erases"), strict=True
    ):
        assert part in sentence
    assert (await said("/stats")).attachment is not None
    ours = [message for message in world.messages(forum) if world.state.is_bots(message)]
    assert len(ours) == 11, "four texts, the question of consent, five sentences and a picture"
    assert {message.thread for message in ours} == {topic}

    assert (await said("/help", topic=other)).thread == other
    assert (await said("/help", topic=None)).thread is None


async def test_the_buttons_work_in_the_thread_of_a_plain_group(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    group, (ada,) = await scene.company("Ada")
    text = await scene.ask(ada, group, "/slogan green tea")
    assert text.thread is not None, "Telegram numbers the threads of replies, which are no topics"
    await sandbox.world.press(ada, text, "again:1")
    assert (await scene.answer(text, is_written)).button("up:2")


async def test_each_of_two_people_in_one_group_is_answered_in_their_own_language(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada,) = await scene.company("Ada")
    zoe = world.add_person("Zoe", "zh-hans")
    world.join(zoe, group)
    assert "rates a text" in await scene.say(ada, group, "/help") and "评价" in await scene.say(zoe, group, "/help")
    assert "What about?" in await scene.say(ada, group, "/slogan")
    assert "写什么呢" in await scene.say(zoe, group, "/slogan")
    text = await scene.ask(ada, group, "/slogan green tea")
    zoes, adas = await world.press(zoe, text, "up:1"), await world.press(ada, text, "up:1")
    assert zoes is not None and adas is not None
    assert "谢谢" in (zoes.text or "") and "Thank you" in (adas.text or "")


async def test_who_writes_as_a_chat_is_told_why_that_is_not_answered(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada,) = await scene.company("Ada")
    channel = world.add_channel("News")
    text = await scene.ask(ada, group, "/slogan green tea")
    chatter = [
        world.say(ada, group, "good morning", anonymous=True),
        world.say(ada, group, "/weather Paris", anonymous=True),
        world.forward(world.say(*_editor(sandbox, channel), "@ovation_bot writes for us"), group),
    ]
    addressed = [
        world.say(ada, group, "/poem rain", anonymous=True),
        world.say(ada, group, "/poem 雨", as_channel=channel),
        world.say(ada, group, "funnier", reply_to=text, anonymous=True),
    ]
    answers = [(await scene.answer(message)).text for message in addressed]
    for answer, words in zip(answers, ("as yourself", "你自己的身份", "as yourself"), strict=True):
        assert words in answer
    assert "rates a text" in await scene.say(ada, group, "/help")
    assert not any(world.answers(message) for message in chatter)
    assert len(await bot.export("generations")) == 1


def _editor(sandbox: Sandbox, channel: Chat) -> tuple[Person, Chat]:
    editor = sandbox.world.add_person("Eve")
    sandbox.world.join(editor, channel)
    return editor, channel
