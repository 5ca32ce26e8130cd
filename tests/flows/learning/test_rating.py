"""A reaction or a pressed button becomes a rating; the last one stands; taking it back removes it."""

import asyncio
from typing import Any

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from tests.support.scene import BotProcess, Scene, values


async def a_generation(scene: Scene, name: str = "Ada") -> tuple[Any, Chat, SeenMessage]:
    person, chat = scene.person(name)
    return person, chat, await scene.ask(person, chat, "/slogan green tea")


async def test_a_reaction_is_a_rating_until_it_is_changed_or_removed(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, _, message = await a_generation(scene)
    sandbox.world.react(ada, message, ["👍"])
    (row,) = await values(bot, 1.0)
    assert row["generation"] == 1 and row["kind"] == "slogan" and row["version"] == "starter"
    assert row["emoji"] == "👍" and str(ada.id) not in row["rater"] and row["at"].endswith("+00:00")
    sandbox.world.react(ada, message, ["💩"])
    await values(bot, -1.0)
    sandbox.world.react(ada, message, [])
    await values(bot)


async def test_an_ambiguous_reaction_is_no_rating(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, _, message = await a_generation(scene)
    sandbox.world.react(ada, message, ["👍"])
    await values(bot, 1.0)
    sandbox.world.react(ada, message, ["🤔"])
    await values(bot)


async def test_a_button_rates_toggles_and_counts(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat, message = await a_generation(scene)
    assert (await sandbox.world.press(ada, message, "down:1")) is not None
    await values(bot, -1.0)
    await sandbox.world.until(lambda: sandbox.world.message(chat, message.id).button("down:").text == "👎 1", 15)
    assert (await sandbox.world.press(ada, message, "up:1")) is not None
    await values(bot, 1.0)
    back = await sandbox.world.press(ada, message, "up:1")
    assert back is not None and back.text == "Taken back."
    await values(bot)
    await sandbox.world.until(lambda: sandbox.world.message(chat, message.id).button("up:").text == "👍", 15)


async def test_button_and_reaction_are_one_rating_and_the_last_one_stands(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, _, message = await a_generation(scene)
    await sandbox.world.press(ada, message, "up:1")
    await values(bot, 1.0)
    sandbox.world.react(ada, message, ["👎"])
    await values(bot, -1.0)
    await sandbox.world.press(ada, message, "up:1")
    await values(bot, 1.0)
    sandbox.world.react(ada, message, [])  # the button came later: its verdict stays
    await asyncio.sleep(0.5)
    await values(bot, 1.0)


async def test_every_member_of_a_group_rates_and_anonymous_reactions_do_not_count(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group = world.add_group("Tea lovers", bot_admin=True)
    ada, bob, eve = (world.add_person(name) for name in ("Ada", "Bob", "Eve"))
    for person in (ada, bob, eve):
        world.join(person, group, as_admin=person is eve)
    message = await scene.ask(ada, group, "/slogan green tea")
    world.react(eve, message, ["👎"], anonymous=True)
    world.react(ada, message, ["🔥"])
    world.react(bob, message, ["👎"])
    rows = await values(bot, bot.exported("ratings")[0]["value"] if bot.exported("ratings") else 1.0, -1.0)
    assert len({row["rater"] for row in rows}) == 2


async def test_reactions_to_other_messages_and_stale_buttons_are_no_ratings(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat, message = await a_generation(scene)
    asked = sandbox.world.messages(chat)[0]
    sandbox.world.react(ada, asked, ["👍"])
    bob, bobs_chat = scene.person("Bob")
    bobs = await scene.ask(bob, bobs_chat, "/slogan black tea")
    sandbox.world.react(bob, bobs, ["👍"])
    rows = await values(bot, 1.0)
    assert rows[0]["generation"] == 2
    assert message.button("up:1") is not None


async def test_the_ratings_can_be_exported_while_the_bot_runs(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, _, message = await a_generation(scene)
    await sandbox.world.press(ada, message, "up:1")
    await values(bot, 1.0)
    (row,) = await bot.export("ratings")
    assert {"generation", "kind", "version", "value", "emoji", "rater", "at"} <= set(row)
    assert row["consented"] is False
