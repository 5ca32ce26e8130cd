"""What people say by day is heard by day: the house's taste chooses among texts, and what else a press can say."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person
from tests.support.scene import BotProcess, Scene, confirmed, values


async def until(is_so: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.2)


async def learned(bot: BotProcess, what: str) -> float:
    """On how many rated texts the house's taste is fitted, or how many people have their own."""
    (address,) = re.findall(r"health at (http://\S+)", bot.log)
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{address}/metrics")).text
    return float(re.findall(rf"^ovation_taste_{what} (\S+)$", metrics, re.MULTILINE)[0])


async def rate(scene: Scene, person: Person, chat: Chat, texts: int) -> None:
    """Ask for texts; the longer half of them pleases."""
    asked = [scene.sandbox.world.say(person, chat, f"/slogan the tea house {number}") for number in range(texts)]
    shown = [await scene.answer(one, lambda message: message.button("up:") is not None) for one in asked]
    shown.sort(key=lambda message: len(message.text))
    for place, message in enumerate(shown):
        scene.sandbox.world.react(person, message, ["👎" if place < texts // 2 else "👍"])


async def test_the_taste_is_learned_within_seconds_and_forgotten_with_the_consent(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(BEST_OF="4")
    ada, chat = scene.person("Ada")
    await scene.opt_in(ada, chat)
    menu = await scene.answer(sandbox.world.say(ada, chat, "/settings"))
    own_taste = menu.button("set:own_taste:on:")
    assert own_taste is not None and own_taste.callback_data is not None
    await sandbox.world.press(ada, menu, own_taste.callback_data)
    await rate(scene, ada, chat, 16)

    async def is_fitted() -> bool:
        return len(bot.exported("ratings")) == 16 and await learned(bot, "texts") >= 10

    await until(is_fitted)
    assert await learned(bot, "people") == 1
    compared: set[int] = set()
    while not compared & {2, 3, 4}:  # some are left plain, and a busy engine writes fewer
        await scene.ask(ada, chat, f"/slogan the tea garden {len(compared)}")
        compared |= {row["best_of"] for row in (await bot.export("generations"))[16:]}
    assert compared <= {1, 2, 3, 4}
    assert {row["finish_reason"] for row in await bot.export("generations")} <= {"stop", "length"}

    assert "Done." in await scene.say(ada, chat, "/optout")

    async def is_gone() -> bool:
        return await learned(bot, "texts") == 0

    await until(is_gone)


async def test_settings_change_in_place_and_need_consent(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    world = sandbox.world
    group = world.add_group("Tea lovers", bot_admin=True)
    ada, bob = world.add_person("Ada"), world.add_person("Bob", "zh-hans")
    for person in (ada, bob):
        world.join(person, group)
    menu = await scene.answer(world.say(ada, group, "/settings"))

    async def press(person: Person, state: str) -> str:
        await world.until(lambda: world.current(menu).button(f"set:own_taste:{state}:"), 10)
        button = world.current(menu).button(f"set:own_taste:{state}:")
        assert button is not None and button.callback_data is not None
        said = await world.press(person, menu, button.callback_data)
        assert said is not None and said.text is not None
        return said.text

    assert "/optin first" in await press(ada, "on")
    await scene.opt_in(ada, group)
    assert "这是别人的设置" in await press(bob, "on")
    assert "Gladly" in await press(ada, "on")
    assert bot.rows("SELECT name, value FROM preferences") == [("own_taste", "on")]
    assert "everybody's taste again" in await press(ada, "off")
    assert "Gladly" in await press(ada, "on")
    assert "Done." in await scene.say(ada, group, "/optout")
    assert bot.rows("SELECT * FROM preferences") == [], "a taste of one's own goes with the consent"


async def test_a_dislike_may_be_explained_and_what_people_do_is_noted_until_they_are_forgotten(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    world = sandbox.world
    group, (ada, bob) = await scene.company("Ada", "Bob", agreed=True)
    text = await scene.ask(ada, group, "/slogan green tea")

    assert world.current(text).button("why:") is None
    await world.press(bob, text, "down:1")
    await world.until(lambda: world.current(text).button("why:1:too_long"), 15)
    stranger = await world.press(ada, text, "why:1:too_long")
    assert stranger is not None and "Press 👎 first" in (stranger.text or "")
    thanks = await world.press(bob, text, "why:1:too_long")
    assert thanks is not None and "that helps" in (thanks.text or "")
    await world.until(lambda: world.current(text).button("why:") is None or None, 15)
    (rating,) = await bot.export("ratings")
    assert rating["reason"] == "too_long"

    await world.press(bob, text, "again:1")
    await scene.ask(bob, group, "shorter", reply_to=text)
    await until_rows(bot, "SELECT generation, signal FROM signals", [(1, "another"), (1, "refined")])
    await values(bot, -1.0)

    assert "Nothing of yours is kept" in await confirmed(scene, bob, group, "/forget")
    for table in ("reasons", "signals", "preferences"):
        assert bot.rows(f"SELECT * FROM {table}") == []
    assert bot.exported("ratings") == []


async def until_rows(bot: BotProcess, query: str, expected: list[tuple[Any, ...]]) -> None:
    async def is_so() -> bool:
        return sorted(bot.rows(query)) == expected

    await until(is_so, 30)
