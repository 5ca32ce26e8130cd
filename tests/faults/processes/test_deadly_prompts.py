"""A prompt over which the engine breaks down is asked for twice and ended with a sentence; all others are answered."""

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

SENTENCES = {
    "en": "I could not write this: the model broke down over it, twice. Please ask in other words.",
    "zh": "这次没写成：模型写到这里两次都中断了。请换个说法。",
}


def asked(engine: FakeEngine, word: str) -> int:
    return sum(word in body["messages"][-1]["content"] for body in engine.asked)


@pytest.mark.parametrize("language", SENTENCES)
async def test_one_that_fails_by_itself_is_tried_twice(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine, language: str
) -> None:
    fake_engine.fails_at = lambda topic: "poison" in topic
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada", language)
    said = scene.sandbox.world.say(ada, chat, "/slogan poison")
    await scene.answer(said, lambda message: message.text == SENTENCES[language])
    assert asked(fake_engine, "poison") == 2
    await scene.ask(ada, chat, "/slogan green tea")
    assert "poison" not in bot.log


async def test_one_that_ends_the_engine_is_found_among_all_that_were_in_its_hands(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    fake_engine.hold()
    world = scene.sandbox.world
    people = [scene.person(f"Person {number}") for number in range(6)]
    others = [world.say(person, chat, f"/slogan tea {place}") for place, (person, chat) in enumerate(people)]
    await world.until(lambda: asked(fake_engine, "tea") == 6, 20)
    fake_engine.dies_of = lambda topic: "poison" in topic
    deadly = world.say(*scene.person("Eve"), "/slogan poison")
    await world.until(lambda: fake_engine.deaths == 1, 20)
    fake_engine.release()
    await scene.answer(deadly, lambda message: message.text == SENTENCES["en"])
    for said in others:
        await scene.answer(said, lambda message: message.button("up:") is not None)
    assert (fake_engine.deaths, asked(fake_engine, "poison")) == (2, 2)
    assert asked(fake_engine, "tea") <= 6 * 3
