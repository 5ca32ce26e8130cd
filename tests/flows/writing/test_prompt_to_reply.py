"""A person prompts; the text comes back labelled, streamed into one message, in private and in groups."""

import psutil

from bot.sandbox.server import Sandbox
from tests.support.scene import BotProcess, Scene


async def test_a_prompt_is_answered_by_one_message_with_label_version_and_buttons(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    message = await scene.ask(ada, chat, "/slogan green tea")
    text, footer = message.text.rsplit("\n\n", 1)
    assert "green tea" in text.lower()
    assert footer == "AI-generated / AI 生成 · starter · #1"
    assert [button.callback_data for button in message.buttons] == ["up:1", "down:1", "again:1", "refine:1"]
    assert len(sandbox.world.answers(sandbox.world.messages(chat)[0])) == 1


async def test_every_kind_answers_in_the_language_of_the_topic(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    for kind in ("write", "slogan", "poem", "story", "post", "pitch", "title", "character"):
        english = (await scene.ask(ada, chat, f"/{kind} autumn rain")).text.rsplit("\n\n", 1)[0]
        chinese = (await scene.ask(ada, chat, f"/{kind} 秋雨")).text.rsplit("\n\n", 1)[0]
        assert english.isascii() or not any("\u4e00" <= c <= "\u9fff" for c in english), english
        assert any("\u4e00" <= c <= "\u9fff" for c in chinese), chinese


async def test_plain_text_another_take_and_a_refinement(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    first = await scene.ask(ada, chat, "a thank-you note to our volunteers")
    await sandbox.world.press(ada, first, "again:1")
    second = await scene.answer(first, lambda message: message.button("up:2") is not None)
    assert second.id != first.id
    refined = await scene.ask(ada, chat, "shorter", reply_to=second)
    assert refined.button("up:3") is not None
    rows = await bot.export("generations")
    assert [row["parent"] for row in rows] == [None, 1, 2]
    assert [turn["role"] for turn in rows[2]["messages"]] == ["system", "user", "assistant", "user"]  # type: ignore[attr-defined]


async def test_in_a_group_only_what_is_addressed_is_answered_or_stored(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group = world.add_group("Tea lovers", bot_admin=True)
    ada, bob = world.add_person("Ada"), world.add_person("Bob", "zh")
    for person in (ada, bob):
        world.join(person, group)
    chatter = world.say(ada, group, "this secret is not for the bot")
    others = [
        *(
            world.say(ada, group, f"{words} tea")
            for words in ("/weather Paris", "@ovation_bot2_helper_bot", "a@ovation_bot.net")
        ),
        world.send_file(ada, group, b"tea", caption="/summary@other_bot"),
    ]
    command = await scene.ask(ada, group, "/title night trains")
    mention = await scene.ask(bob, group, "@ovation_bot 写一句关于绿茶的口号")
    reply = await scene.ask(ada, group, "funnier", reply_to=command)
    await scene.answer(
        world.send_file(bob, group, b"", caption="@Ovation_Bot 绿茶"), lambda m: m.button("up:") is not None
    )
    assert not any(world.answers(message) for message in (chatter, *others))
    assert {command.id, mention.id, reply.id} <= {m.id for m in world.messages(group)}
    await bot.stop()
    stored = b"".join(file.read_bytes() for file in (bot.folder / "data").glob("ovation.db*"))
    assert b"this secret is not for the bot" not in stored


async def test_long_answers_stream_into_the_placeholder(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    message = await scene.ask(ada, chat, "/story the last lighthouse")
    assert [int(call.params["chat_id"]) for call in sandbox.calls_of("sendMessage")] == [chat.id]
    edits = sandbox.calls_of("editMessageText")
    assert {int(call.params["message_id"]) for call in edits} == {message.id}


async def test_a_model_in_eight_bits_answers_too(lone_bot: BotProcess, scene: Scene) -> None:
    await lone_bot.start(QUANTIZE="int8")
    assert lone_bot.process is not None
    (engine,) = psutil.Process(lone_bot.process.pid).children()
    assert "int8" in engine.cmdline()
    ada, chat = scene.person("Ada")
    assert "· starter ·" in (await scene.ask(ada, chat, "/slogan green tea")).text
