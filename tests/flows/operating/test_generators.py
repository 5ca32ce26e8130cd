"""The small generators behind the bot: a person asks, gets a labelled text, another take and a refinement."""

import pytest

from bot.sandbox.server import Sandbox
from tests.support.scene import BotProcess, Scene


@pytest.mark.parametrize("model", ["vae", pytest.param("gan", marks=pytest.mark.slow)])
async def test_a_person_is_answered_by_a_generator(
    lone_bot: BotProcess, scene: Scene, sandbox: Sandbox, model: str
) -> None:
    await lone_bot.start(MODEL=model)
    ada, chat = scene.person("Ada")
    first = await scene.ask(ada, chat, "/slogan green tea")
    text, footer = first.text.rsplit("\n\n", 1)
    assert footer == f"AI-generated / AI 生成 · {model} · #1"
    assert text
    await sandbox.world.press(ada, first, "again:1")
    await scene.answer(first, lambda message: message.button("up:2") is not None)
    refined = await scene.ask(ada, chat, "shorter", reply_to=first)
    other_kind = await scene.ask(ada, chat, "/story 绿茶")
    texts = [message.text.rsplit("\n\n", 1)[0] for message in (first, refined, other_kind)]
    assert sum("green tea" in each.lower() for each in texts[:2]) >= 1, texts
    assert not any("\ue000" <= letter <= "\ue002" for each in texts for letter in each)
    rows = await lone_bot.export("generations")
    assert [row["version"] for row in rows] == [model] * 4
