"""Strange topics, and buttons where they do not belong: each gets a text or a sentence, and nothing breaks."""

import httpx

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Person, SeenMessage
from tests.support.scene import BotProcess, Scene

STRANGE = {
    "😀" * 2040: "2,040 characters",
    "\u200b \u2060\n": "What about?",
    "a" * 1900: "too long for the model",
    "שלום עולם, תה ירוק": None,
    "\u202e\u2067مقهى الحي\u2069": None,
    "Z̸̧̢͚̗̪̆̈́͂̾̀a̷͎͐l̷̢͗g̷̝̈ŏ̵͜": None,
}
"""Topics, and what is said to them; to the last three, a text."""


async def test_a_strange_topic_gets_a_text_or_a_sentence(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    for topic, says in STRANGE.items():
        if says is None:
            assert (await scene.ask(ada, chat, f"/title {topic}")).button("up:") is not None
        else:
            asked = sandbox.world.say(ada, chat, f"/title {topic}")
            await scene.answer(asked, lambda message, says=says: says in message.text)  # type: ignore[misc]
    assert "ERROR" not in bot.log


async def with_button(sandbox: Sandbox, message: SeenMessage, data: str) -> None:
    """Put a button under a message as a bot of another day, or of another mind, might have left it there."""
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{sandbox.url}/bot{sandbox.token}/editMessageReplyMarkup",
            json={
                "chat_id": message.chat.id,
                "message_id": message.id,
                "reply_markup": {"inline_keyboard": [[{"text": "press me", "callback_data": data}]]},
            },
        )
    assert answer.is_success


async def press(sandbox: Sandbox, person: Person, message: SeenMessage, data: str) -> str:
    if sandbox.world.current(message).button(data) is None:
        await with_button(sandbox, message, data)
    said = await sandbox.world.press(person, message, data)
    assert said is not None, "every press is answered"
    return said.text or ""


async def test_foreign_and_stale_buttons_are_answered_with_a_sentence_and_do_nothing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    bob, bobs_chat = scene.person("Bob")
    hers = await scene.ask(ada, chat, "/slogan green tea")
    await scene.ask(bob, bobs_chat, "/slogan black tea")
    for data in (
        "up:2",
        "down:2",
        "again:2",
        "refine:2",
        "stop:2",
        "why:2:boring",
        "better:2",
        "up:99999",
        "wish:99:longer",
    ):
        said = await press(sandbox, ada, hers, data)
        assert "no longer here" in said, (data, said)
    for data in ("up:", "vote_1", "set:tone", "wish:1:louder", "yes:short", "😀"):
        said = await press(sandbox, ada, hers, data)
        assert "older message" in said, (data, said)
    assert await bot.export("ratings") == []
    assert len(await bot.export("generations")) == 2
    assert "ERROR" not in bot.log


async def test_a_button_under_a_text_that_somebody_has_deleted_is_answered(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    hers = await scene.ask(ada, chat, "/slogan green tea")
    sandbox.faults.refuse("editMessageReplyMarkup", 400, times=3, description="Bad Request: message to edit not found")
    said = await sandbox.world.press(ada, hers, "up:1")
    assert said is not None and "counts" in (said.text or "")
    assert len(await bot.export("ratings")) == 1
    assert "ERROR" not in bot.log
