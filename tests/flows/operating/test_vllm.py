"""A real vLLM by ENGINE_URL: it writes, a night learns from it; a version is loaded, answers, and is taken back."""

import pytest

from benchmarks.served import serve_vllm
from bot.common.keys import open_keys
from bot.common.settings import DataSettings
from engine.api.models import STARTER, STARTER_FOLDER
from tests.flows.learning.test_retrain import rate_in_company, retrain, version_that_answers
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed
from tests.support.stored.extra_version import VERSION, add_version

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


async def test_a_version_is_loaded_into_vllm_answers_and_is_taken_back(
    lone_bot: BotProcess, scene: Scene, vllm_python: str
) -> None:
    data = lone_bot.folder / "data"
    open_keys(DataSettings(data_dir=data), may_create=True)
    await add_version(data)
    async with serve_vllm(vllm_python, str(STARTER_FOLDER), STARTER) as server:
        await lone_bot.start(ENGINE_URL=server.url)
        admin, chat = scene.person("Root", person_id=ADMIN_ID)
        assert await version_that_answers(scene, admin, chat) == STARTER
        assert await server.client.models() == (STARTER,)
        assert f"{VERSION} serves from now on" in await scene.say(admin, chat, f"/promote {VERSION}")
        assert await version_that_answers(scene, admin, chat) == VERSION
        assert await server.client.models() == (STARTER, VERSION)
        assert f"{STARTER} serves now" in await confirmed(scene, admin, chat, "/rollback")
        assert await version_that_answers(scene, admin, chat) == STARTER


async def test_a_night_learns_from_what_vllm_has_written(lone_bot: BotProcess, scene: Scene, vllm_python: str) -> None:
    async with serve_vllm(vllm_python, str(STARTER_FOLDER), STARTER) as server:
        await lone_bot.start(ENGINE_URL=server.url, PROMPTS_PER_HOUR="0", OBJECTIVE="kto")
        group, people = await scene.company(*"ABCDEF", agreed=True)
        admin, chat = scene.person("Root", person_id=ADMIN_ID)
        await rate_in_company(scene, people, group, 120, lambda text: any(mark in text for mark in "!！"))
        await retrain(scene, admin, chat, seconds=1800)
        (run,) = await lone_bot.export("runs")
        assert run["verdict"] in {"promoted", "rejected"}
        assert await version_that_answers(scene, people[0], group) == run["version"]
