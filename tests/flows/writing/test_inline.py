"""Inline mode: takes that are offered in any chat, chosen, and rated by buttons there."""

import asyncio
import signal

from bot.generation.inline import OFFERS
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import ButtonAnswer, Chat, InlineAnswer, Person, SeenMessage
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, BotProcess, Scene, confirmed, values

TABLES = ("generations", "deliveries", "offers", "inline_messages", "homes", "people", "ratings", "rating_events")


def elsewhere(sandbox: Sandbox, *people: Person) -> Chat:
    """A group of these people without the bot."""
    group = sandbox.world.add_group("Somewhere else")
    for person in people:
        sandbox.world.join(person, group)
    sandbox.world.set_bot_status(group, "left")
    return group


async def offered(sandbox: Sandbox, person: Person, chat: Chat, text: str) -> InlineAnswer:
    answer = await sandbox.world.type_inline(person, chat, text)
    assert answer is not None, "nothing was offered in time"
    return answer


async def chosen(sandbox: Sandbox, person: Person, chat: Chat, text: str = "slogan green tea") -> SeenMessage:
    """The first of the takes on a topic, sent to a chat."""
    answer = await offered(sandbox, person, chat, text)
    return sandbox.world.choose_inline(person, chat, answer, answer.results[0])


async def press(sandbox: Sandbox, person: Person, message: SeenMessage, button: str) -> ButtonAnswer:
    found = sandbox.world.current(message).button(f"{button}:")
    assert found is not None and found.callback_data is not None
    answer = await sandbox.world.press(person, message, found.callback_data)
    assert answer is not None, "the press was not answered"
    return answer


async def shows(sandbox: Sandbox, message: SeenMessage, *labels: str) -> None:
    await sandbox.world.until(
        lambda: tuple(button.text for button in sandbox.world.current(message).buttons) == labels, 15
    )


def rows(bot: BotProcess) -> dict[str, int]:
    return {table: bot.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def test_takes_are_offered_chosen_and_rated_by_several_people_and_consent_is_respected(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    people = [scene.person(name) for name in ("Ada", "Bob", "Cyd")]
    (ada, adas_chat), (bob, bobs_chat), (cyd, _) = people
    await scene.opt_in(ada, adas_chat)
    await scene.opt_in(bob, bobs_chat)
    group = elsewhere(sandbox, ada, bob, cyd)
    answer = await offered(sandbox, ada, group, "slogan green tea")
    assert [result.title for result in answer.results] == ["📣 slogan 1", "📣 slogan 2"] and answer.hint is None
    message = sandbox.world.choose_inline(ada, group, answer, answer.results[0])
    body, _, footer = message.text.rpartition("\n\n")
    assert body and "AI" in footer and "starter" in footer and answer.results[0].description.startswith(body[:20])
    assert [button.text for button in message.buttons] == ["👍", "👎"]
    assert "counts." in str((await press(sandbox, ada, message, "up")).text)
    assert "counts." in str((await press(sandbox, bob, message, "up")).text)
    assert "/optin in private" in str((await press(sandbox, cyd, message, "down")).text)
    await shows(sandbox, message, "👍 2", "👎 1")
    rated = await bot.export("ratings")
    assert [(row["value"], row["consented"]) for row in rated] == [(1.0, True), (1.0, True), (-1.0, False)]
    assert {row["kind"] for row in rated} == {"slogan"} and len({row["rater"] for row in rated}) == 3
    (text,) = await bot.export("generations")
    assert text["text"] == body and f"#{text['generation']}" in footer, "what nobody has chosen is no text of anybody"
    again = await press(sandbox, ada, message, "up")
    assert again.text == "Taken back."
    await shows(sandbox, message, "👍 1", "👎 1")
    await scene.say(bob, bobs_chat, "/optout")
    rated = await bot.export("ratings")
    assert [(row["value"], row["consented"]) for row in rated] == [(1.0, False), (-1.0, False)]


async def test_a_take_sent_to_two_chats_counts_as_one_text_and_without_feedback_a_press_tells_that_it_was_chosen(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    sandbox.world.state.inline_feedback = False
    (ada, adas_chat), (bob, _) = scene.person("Ada"), scene.person("Bob")
    group = elsewhere(sandbox, ada, bob)
    answer = await offered(sandbox, ada, group, "/slogan green tea")
    one, other = (sandbox.world.choose_inline(ada, chat, answer, answer.results[1]) for chat in (group, adas_chat))
    await press(sandbox, ada, other, "up")
    await press(sandbox, bob, one, "up")
    await shows(sandbox, one, "👍 2", "👎")
    await shows(sandbox, other, "👍 2", "👎")
    assert len(await bot.export("generations")) == 1
    assert len(sandbox.world.messages(adas_chat)) == 1, "a text of ours that comes back to us is no prompt"
    strange = one.button("up:")
    assert strange is not None and strange.callback_data is not None
    number = int(strange.callback_data.split(":")[1])
    for data in (f"up:{number}", f"up:{number + 1}:{strange.callback_data.split(':')[2]}", f"down:{number}:abcdefgh"):
        forged = await forged_press(sandbox, bob, one, data)
        assert forged is not None and "no longer here" in str(forged.text)
    await values(bot, 1.0, 1.0)


async def forged_press(sandbox: Sandbox, person: Person, message: SeenMessage, data: str) -> ButtonAnswer | None:
    """A press with data that no button of the message has, as a client of one's own can send it."""
    answer: asyncio.Future[ButtonAnswer] = asyncio.get_running_loop().create_future()
    sandbox.world.state.queries[data] = answer
    pressed = {"id": data, "from": {"id": person.id, "is_bot": False, "first_name": person.name}, "data": data}
    sandbox.world.updates.add(
        "callback_query", pressed | {"inline_message_id": message.inline_id, "chat_instance": "1"}
    )
    return await asyncio.wait_for(answer, 10)


async def test_fast_typing_costs_one_writing_and_the_same_words_get_the_same_takes(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    typed, typing = "slogan green tea", []
    for end in range(len("slogan g"), len(typed)):
        typing.append(asyncio.create_task(sandbox.world.type_inline(ada, chat, typed[:end], timeout_seconds=8)))
        await asyncio.sleep(0.05)
    answer = await offered(sandbox, ada, chat, typed)
    assert len(answer.results) == OFFERS == rows(bot)["generations"]
    assert not any(await asyncio.gather(*typing)), "what was typed over is not answered"
    assert (await offered(sandbox, ada, chat, f"{typed} ")).results == answer.results
    assert rows(bot)["generations"] == OFFERS


async def test_what_cannot_be_written_gets_a_sentence(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start(PROMPTS_PER_HOUR=str(3 * OFFERS))
    (ada, chat), (bob, bobs_chat), (lin, lins_chat) = scene.person("Ada"), scene.person("Bob"), scene.person("林", "zh")
    for nothing in ("", "   ", "slogan", "SLO", "/poem ", "\u200b"):
        answer = await offered(sandbox, ada, chat, nothing)
        assert not answer.results and answer.hint == "Type a kind and a topic: slogan green tea", nothing
        assert answer.start_parameter == "inline"
    assert (await offered(sandbox, lin, lins_chat, "slogan")).hint == "写上类型和主题：slogan 绿茶"
    long = await overlong(sandbox, ada, "😀" * 4096)
    assert not long.results and long.hint == "Too long. Say it in fewer words"
    for strange in ("😀" * 256, "\u202e<b>&amp;</b> [x](y) *_`", "something on tea"):
        answer = await offered(sandbox, ada, chat, strange)
        assert len(answer.results) == OFFERS and answer.results[0].title == "✍️ write 1"
    full = await offered(sandbox, ada, chat, "slogan black tea")
    assert not full.results and full.hint == "Enough for this hour. Try again later"
    admin, admins_chat = scene.person("Root", person_id=ADMIN_ID)
    message = await chosen(sandbox, bob, bobs_chat)
    await bot.settled()
    number = (await bot.export("generations"))[0]["generation"]
    await confirmed(scene, admin, admins_chat, f"/ban #{number}")
    for _ in range(4):  # every keystroke is answered, or the last answer would seem to stand
        assert (await offered(sandbox, bob, bobs_chat, "slogan green tea")).hint is not None
    shut_out = await press(sandbox, bob, message, "up")
    assert "have banned you" in str(shut_out.text)
    assert "ERROR" not in bot.log


async def overlong(sandbox: Sandbox, person: Person, text: str) -> InlineAnswer:
    """A query that Telegram's apps would not send."""
    answer: asyncio.Future[InlineAnswer] = asyncio.get_running_loop().create_future()
    sandbox.world.state.inline_queries["long"] = answer
    sender = {"id": person.id, "is_bot": False, "first_name": person.name, "language_code": "en"}
    sandbox.world.updates.add("inline_query", {"id": "long", "from": sender, "query": text, "offset": ""})
    return await asyncio.wait_for(answer, 10)


async def test_an_engine_that_is_away_gets_a_sentence_at_once(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    async with FakeEngine().running() as engine:
        await bot.start(ENGINE_URL=engine.url)
    ada, chat = scene.person("Ada")
    answer = await offered(sandbox, ada, chat, "slogan green tea")
    assert not answer.results and answer.hint == "I cannot write now. Try again in a minute"


async def test_a_restart_between_offering_and_pressing_loses_nothing(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    answer = await offered(sandbox, ada, chat, "slogan green tea")
    await bot.stop(signal.SIGKILL)
    message = sandbox.world.choose_inline(ada, chat, answer, answer.results[0])
    await bot.start()
    await press(sandbox, ada, message, "up")
    await shows(sandbox, message, "👍 1", "👎")
    (rating,) = await values(bot, 1.0)
    assert f"#{rating['generation']}" in message.text
    assert len(sandbox.world.messages(chat)) == 1, "nobody waits for the take that was not chosen"


async def test_forget_leaves_nothing_of_inline_mode(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    (ada, adas_chat), (bob, bobs_chat) = scene.person("Ada"), scene.person("Bob")
    group = elsewhere(sandbox, ada, bob)
    hers, his = await chosen(sandbox, ada, group), await chosen(sandbox, bob, group)
    for person in (ada, bob):
        for message in (hers, his):
            await press(sandbox, person, message, "up")
    assert f"{OFFERS} texts and 3 ratings" in await confirmed(scene, ada, adas_chat, "/forget")
    gone = await press(sandbox, bob, hers, "down")
    assert "no longer here" in str(gone.text)
    (rating,) = await bot.export("ratings")
    assert f"#{rating['generation']}" in his.text
    assert rows(bot)["homes"] == rows(bot)["inline_messages"] == rows(bot)["people"] == 1
    assert len((await offered(sandbox, ada, adas_chat, "slogan green tea")).results) == OFFERS, "and she may begin anew"
    for person, chat in ((ada, adas_chat), (bob, bobs_chat)):
        await confirmed(scene, person, chat, "/forget")
    left = rows(bot)
    assert left.pop("generations") <= 1, "the empty row that keeps the highest number taken"
    assert set(left.values()) == {0}
