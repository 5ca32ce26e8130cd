"""What a model writes as Markdown is shown in the chat with all its words, and as it is meant."""

from tests.support.fake_engine import FakeEngine
from tests.support.scene import BotProcess, Scene

TEXTS = {
    "a form": "Dear <name>, thank you for your <thing>.",
    "重点": "这是**“重点”**内容。",
    "a list": "Bring these:\n\n- a kettle\n- **two** cups\n\n\n",
    "a song": "[Chorus]: We drink our tea.\n<b>All of us</b> & <!-- twice --> again.",
}
SHOWN = {
    "重点": "这是“重点”内容。",
    "a list": "Bring these:\n\n• a kettle\n• two cups",
}


async def test_no_word_of_a_text_vanishes_on_its_way_into_the_chat(
    bot: BotProcess, scene: Scene, fake_engine: FakeEngine
) -> None:
    fake_engine.writes = lambda body, _: next(
        text for topic, text in TEXTS.items() if topic in body["messages"][-1]["content"]
    )
    await bot.start(ENGINE_URL=fake_engine.url, BEST_OF="1")
    ada, chat = scene.person("Ada")
    for topic, text in TEXTS.items():
        message = await scene.ask(ada, chat, f"/write {topic}")
        body, _, label = message.text.rpartition("\n\n")
        assert body == SHOWN.get(topic, text) and label.startswith("AI-generated")
        looks = {(entity.kind, entity.length) for entity in message.entities if entity.kind != "hashtag"}
        assert looks == {"重点": {("bold", 4)}, "a list": {("bold", 3)}}.get(topic, set())
