"""Whoever floods the bot, and with whatever: a stranger's prompt is answered after a few calls, and no consent is lost.

No times are asserted; a step is one call of the bot to Telegram."""

import asyncio
import re

import httpx
import pytest

from benchmarks.siege import FLOODS, Flooders
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person
from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

MOST_CALLS = 60
"""That the bot makes between a stranger's prompt and its placeholder: two seconds of what Telegram allows."""


async def calls_before(sandbox: Sandbox, stranger: Person, chat: Chat) -> int:
    """How many calls the bot makes until a stranger's prompt is answered by a placeholder."""
    world, before = sandbox.world, len(sandbox.calls)
    asked = world.say(stranger, chat, "/slogan green tea")
    await world.until(lambda: world.answers(asked) or None, 120)
    return sum(call.method.lower() != "getupdates" for call in sandbox.calls[before:])


async def page(bot: BotProcess, name: str) -> httpx.Response:
    address = re.findall(r"health at (http://\S+)", bot.log)[-1]
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"{address}/{name}")


async def test_a_flooded_group_and_a_flooding_button_hold_up_no_stranger_and_no_consent(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url, PACING="on")
    flooders = Flooders(sandbox.world)
    rater, group = flooders.people[0], flooders.group()
    await flooders.settings()
    await flooders.commands()
    sandbox.world.say(rater, group, "/optin")
    assert await calls_before(sandbox, *scene.person("Ada")) <= MOST_CALLS
    ready, metrics = await page(bot, "ready"), (await page(bot, "metrics")).text
    assert ready.status_code == 200
    dropped = dict(re.findall(r'ovation_dropped_total{reason="(\w+)"} (\d+)', metrics))
    assert int(dropped["sender"]) > 1_000 and int(dropped["repeated"]) > 1_000

    def consents() -> list[tuple[str]] | None:
        return bot.rows("SELECT 1 FROM consents") or None

    await sandbox.world.until(consents, 120)


@pytest.mark.slow
async def test_no_flood_of_any_kind_holds_up_a_stranger(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=fake_engine.url, PACING="on", PROMPTS_PER_HOUR="0")
    flooders = Flooders(sandbox.world)
    steps = {}
    for name, flood in FLOODS.items():
        await flood(flooders)
        steps[name] = await calls_before(sandbox, *scene.person("Ada"))
        await asyncio.sleep(0)
    assert max(steps.values()) <= MOST_CALLS, steps
    assert (await page(bot, "ready")).status_code == 200
