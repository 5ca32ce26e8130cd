"""The whole loop with a real vLLM: it writes, people rate, a night's version is loaded, answers, and is taken back."""

import pytest

from benchmarks.served import serve_vllm
from engine.api.models import STARTER, STARTER_FOLDER
from tests.flows.learning.test_retrain import rate_in_company, retrain, version_that_answers
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_vllm_writes_is_given_the_nights_version_and_goes_back(
    lone_bot: BotProcess, scene: Scene, vllm_python: str
) -> None:
    async with serve_vllm(vllm_python, str(STARTER_FOLDER), STARTER) as server:
        await lone_bot.start(ENGINE_URL=server.url, PROMOTION="approve", PROMPTS_PER_HOUR="0")
        group, people = await scene.company(*"ABCDEF", agreed=True)
        admin, chat = scene.person("Root", person_id=ADMIN_ID)
        await rate_in_company(scene, people, group, 120, lambda text: any(mark in text for mark in "!！"))
        assert await server.client.models() == (STARTER,)
        verdict = await retrain(scene, admin, chat, seconds=1800)
        assert "/approve v1" in verdict
        assert "v1" in await scene.say(admin, chat, "/approve v1")
        assert await version_that_answers(scene, people[0], group) == "v1"
        assert await server.client.models() == (STARTER, "v1")
        assert await confirmed(scene, admin, chat, "/rollback") == f"Done: {STARTER} serves now."
        assert await version_that_answers(scene, people[0], group) == STARTER
