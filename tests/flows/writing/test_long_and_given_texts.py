"""Kinds of several paragraphs, and kinds that take a text: pasted, replied to, or in a file."""

import pytest

from bot.sandbox.server import Sandbox
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

NEWS = "The council met on Tuesday. It voted for the bridge."


def asked(engine: FakeEngine) -> str:
    """What the user's turn of the last request was."""
    return str(engine.asked[-1]["messages"][-1]["content"])


@pytest.mark.parametrize("kind", ["article", "briefing", "script"])
async def test_a_long_kind_is_gone_on_with_past_the_end_of_a_call(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine, kind: str
) -> None:
    parts = ["Trees give shade. They clean the", "They clean the air. And birds", "And birds love them."]
    fake_engine.writes = lambda _, number: parts[number - 1]
    fake_engine.tokens = 5
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    text = await scene.ask(ada, chat, f"/{kind} city trees")
    assert text.text.startswith("Trees give shade. They clean the air. And birds love them.")
    assert len(fake_engine.asked) == 3
    (row,) = await bot.export("generations")
    assert row["kind"] == kind and len(row["messages"]) <= 2, "and nothing of how it was gone on with is kept"


async def test_a_short_kind_is_not_gone_on_with(bot: BotProcess, scene: Scene, fake_engine: FakeEngine) -> None:
    fake_engine.writes, fake_engine.tokens = (lambda *_: "Green tea. So very green."), 3
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan tea")
    assert all(len(body["messages"]) == 2 for body in fake_engine.asked), "but perhaps written anew"


async def test_a_text_is_pasted_replied_to_or_sent_as_a_file(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    for language, news, wish in (
        ("en", NEWS, "for children"),
        ("zh", "市议会周二开会，通过了大桥的方案。", "写给孩子"),
    ):
        person, chat = scene.person(f"Ada {language}", language)
        await scene.ask(person, chat, f"/summary {news}")
        assert news in asked(fake_engine)
        said = world.say(person, chat, news)
        await scene.answer(said)
        await scene.ask(person, chat, f"/continue {wish}", reply_to=said)
        assert news in asked(fake_engine) and wish in str(fake_engine.asked[-1])
        sent = world.send_file(person, chat, f"\ufeff{news} 1".encode(), name="news.txt", caption=f"/summary {wish}")
        await scene.answer(sent, lambda message: message.button("up:") is not None)
        assert f"{news} 1" in asked(fake_engine) and "\ufeff" not in asked(fake_engine)
        notes = world.send_file(person, chat, f"# {news} 2".encode(), name="N.MD", content_type="text/markdown")
        await scene.ask(person, chat, "/summary", reply_to=notes)
        assert f"{news} 2" in asked(fake_engine)
    kinds = [row["kind"] for row in await bot.export("generations")]
    assert kinds.count("summary") == 6 and kinds.count("continue") == 2


async def test_what_cannot_be_read_gets_a_sentence(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    for language, missing, unreadable, away in (
        ("en", "Which text?", "I cannot read that file", "could not fetch"),
        ("zh", "哪段文字", "我读不了这个文件", "没能从 Telegram 取到"),
    ):
        person, chat = scene.person(f"Ada {language}", language)
        assert missing in await scene.say(person, chat, "/summary")
        for content, name, content_type in (
            (b"\xff\xfe\x00", "latin.txt", "text/plain"),
            (b"%PDF", "paper.pdf", "application/pdf"),
            (b"x" * 500_001, "large.txt", "text/plain"),
        ):
            other, there = scene.person(name, language)  # nobody is told the same thing again and again
            sent = world.send_file(other, there, content, name=name, content_type=content_type, caption="/summary")
            assert unreadable in (await scene.answer(sent)).text, name
        blank = world.send_file(person, chat, b"  \n", name="blank.txt", caption="/summary")
        assert missing in (await scene.answer(blank)).text
        lost = world.send_file(person, chat, b"words", name="lost.txt")
        assert lost.attachment is not None
        del world.state.files[lost.attachment.file_id]
        assert away in (await scene.answer(world.say(person, chat, "/summary", reply_to=lost))).text
    assert not fake_engine.asked


async def test_a_text_that_is_too_long_is_read_from_its_beginning_and_that_is_said(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    ada, chat = scene.person("Ada")
    sentence = "The council met on Tuesday and voted. "
    sent = world.send_file(ada, chat, (sentence * 500).encode(), caption="/summary")
    await scene.answer(sent, lambda message: message.button("up:") is not None)
    told = await scene.answer(sent, lambda message: "That text is long" in message.text)
    read = sentence * (12_000 // len(sentence))
    assert read.strip() in asked(fake_engine) and sentence * 320 not in asked(fake_engine)
    assert "first 11,969 of 19,000 characters" in told.text
    assert "at most" in await scene.say(ada, chat, f"/poem {'x ' * 1100}")


async def test_words_of_somebody_who_asked_for_nothing_teach_nothing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob", agreed=True)
    ours = await scene.ask(ada, group, "/post the bridge")
    own, bobs = world.say(ada, group, NEWS), world.say(bob, group, "I saw it all: the vote was close.")
    learned = []
    for replied in (ours, own, bobs):
        text = await scene.ask(ada, group, "/summary", reply_to=replied)
        up = text.button("up:")
        assert up is not None
        await world.press(bob, text, up.callback_data)
        learned.append((await bot.export("ratings"))[-1]["consented"])
    assert learned == [True, True, False], "but for what Bob has written"
    assert "the vote was close" in asked(fake_engine)
    assert [row["parent"] for row in await bot.export("generations")][1:] == [1, None, None]
    footer = ours.text.splitlines()[-1]
    assert footer not in str(fake_engine.asked[1]), "a text of ours is taken without its footer"


async def test_a_report_stays_a_complaint_and_a_briefing_is_written(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    text = await scene.ask(ada, chat, "/briefing our festival")
    assert "Which one?" in await scene.say(ada, chat, "/report our festival")
    assert "hidden" in (await scene.answer(scene.sandbox.world.say(ada, chat, "/report", reply_to=text))).text
