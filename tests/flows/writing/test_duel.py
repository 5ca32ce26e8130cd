"""Two texts for one prompt: both come, one tap chooses, and the choice is kept as a preference."""

import signal

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from tests.flows.trust.test_trust import mydata
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene, confirmed


async def duel(scene: Scene, person: Person, chat: Chat, text: str) -> list[SeenMessage]:
    """Ask for two texts and return both once they can be chosen."""
    world = scene.sandbox.world
    asked = world.say(person, chat, text)

    def both() -> list[SeenMessage] | None:
        texts = [message for message in world.answers(asked) if message.button("better:") is not None]
        return texts if len(texts) == 2 else None

    return await world.until(both, 60)


async def press_better(scene: Scene, person: Person, text: SeenMessage) -> str:
    button = scene.sandbox.world.current(text).button("better:")
    assert button is not None and button.callback_data is not None
    said = await scene.sandbox.world.press(person, text, button.callback_data)
    assert said is not None
    return said.text or ""


async def test_two_texts_come_one_tap_chooses_and_the_pair_is_a_preference(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob", agreed=True)
    first, second = await duel(scene, ada, group, "/duel slogan green tea")
    assert first.text.split("\n\n")[0] != second.text.split("\n\n")[0]
    assert all(text.button(data) for text in (first, second) for data in ("up:", "down:", "again:", "refine:"))
    assert "counts" in await press_better(scene, ada, first)
    assert "counts" in await press_better(scene, bob, first)
    assert "counts" in await press_better(scene, bob, second), "he has thought again"

    def shown(text: SeenMessage) -> str:
        button = world.current(text).button("better:")
        return "" if button is None else button.text

    await world.until(lambda: all(shown(text).endswith("· 1") for text in (first, second)) or None, 20)
    pairs = await bot.export("duels")
    numbers = [pair["generations"] for pair in pairs]
    assert len(pairs) == 2 and numbers[0] == numbers[1][::-1]  # type: ignore[index]
    for pair in pairs:
        assert pair["kind"] == "slogan" and pair["consented"] is True
        assert [turn["content"] for turn in pair["prompt"]][-1] == "green tea"  # type: ignore[attr-defined]
        assert pair["chosen"] != pair["rejected"]
    assert await bot.export("ratings") == [], "a choice is no rating"


async def test_a_choice_teaches_only_with_consent_is_in_mydata_and_goes_with_forget(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    first, second = await duel(scene, ada, chat, "/duel poem autumn rain")
    assert "/optin" in await press_better(scene, ada, second)
    assert [pair["consented"] for pair in await bot.export("duels")] == [False]
    assert [set(choice) for choice in (await mydata(scene, ada))["choices"]] == [{"generation", "rival", "at"}]
    assert (await confirmed(scene, ada, chat, "/forget")).startswith("Done.")
    assert await bot.export("duels") == []
    assert "no longer here" in await press_better(scene, ada, first)


async def test_a_duel_survives_a_kill_and_waits_for_both(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    ada, chat = scene.person("Ada")
    assert "/duel green tea" in await scene.say(ada, chat, "/duel")
    fake_engine.hold()
    asked = world.say(ada, chat, "/duel story the lighthouse")
    await world.until(lambda: len(world.answers(asked)) == 2 or None, 30)
    await bot.stop(signal.SIGKILL)
    fake_engine.release()
    await bot.start()
    await world.until(lambda: sum(text.button("up:") is not None for text in world.answers(asked)) == 2 or None, 60)
    texts = [text for text in world.answers(asked) if text.button("up:")]
    assert "/optin" in await press_better(scene, ada, texts[0])
    assert len(await bot.export("duels")) == 1


async def test_a_duel_of_which_one_text_is_stopped_is_none(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url)
    world = sandbox.world
    ada, chat = scene.person("Ada")
    fake_engine.hold()
    asked = world.say(ada, chat, "/duel story the harbour")
    await world.until(lambda: sum(text.button("stop:") is not None for text in world.answers(asked)) == 2 or None, 30)
    stopped, other = world.answers(asked)
    stop = stopped.button("stop:")
    assert stop is not None and stop.callback_data is not None
    await world.press(ada, stopped, stop.callback_data)
    fake_engine.release()
    done = await world.until(lambda: world.current(other) if world.current(other).button("up:") else None, 60)
    assert done.button("better:") is None
