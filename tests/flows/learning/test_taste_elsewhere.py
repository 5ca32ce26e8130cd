"""With any server at ENGINE_URL those of several texts are shown that please; only the nights need adapters."""

import hashlib
from typing import Any, Literal

import pytest

from tests.flows.learning.test_taste import learned, until
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, BotProcess, Scene

ASKED = "/slogan the tea house"
RATED, SHOWN = 20, 12


def house(body: dict[str, Any], _: int) -> str:
    """A text that is a question or none, by its seed and its number among those of one request."""
    draw = hashlib.sha256(f"{body['seed']} {body['index']}".encode()).digest()[0]
    mark = "Why not come in?" if draw % 3 == 0 else "Come in now."
    return f"The tea house on street {draw} is warm and open. {mark}"


@pytest.mark.parametrize("severals", ["written", "refused"])
async def test_the_texts_that_please_are_shown_whichever_server_writes_them(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine, severals: Literal["written", "refused"]
) -> None:
    fake_engine.severals, fake_engine.writes = severals, house
    await bot.start(ENGINE_URL=fake_engine.url, BEST_OF="8")
    ada, chat = scene.person("Ada")
    await scene.opt_in(ada, chat)
    shown = [await scene.ask(ada, chat, f"{ASKED} {number}") for number in range(RATED)]
    for message in shown:
        scene.sandbox.world.react(ada, message, ["👍" if "?" in message.text else "👎"])

    async def is_fitted() -> bool:
        return len(bot.exported("ratings")) == RATED and await learned(bot, "texts") >= 10

    await until(is_fitted)
    texts = [await scene.ask(ada, chat, f"{ASKED} {number}") for number in range(RATED, RATED + SHOWN)]
    assert sum("?" in message.text for message in texts) >= 9, "three were likely by chance"
    assert {row["best_of"] for row in (await bot.export("generations"))[1:]} <= {1, 8}
    admin, room = scene.person("Root", person_id=ADMIN_ID)
    told = await scene.say(admin, room, "/retrain")
    assert ("loads no adapters" in told) == (severals == "refused")
