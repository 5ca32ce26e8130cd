"""Inline mode in the stand-in: what the bot is told, what it may offer, and the messages that come of it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import WorldError
from tests.support.api_checker import load_table

METHOD_TABLE = Path(__file__).parents[4] / "shared" / "telegram" / "bot-api-10.1.json"
UP, DOWN = {"text": "👍", "callback_data": "up:1"}, {"text": "👎", "callback_data": "down:1"}
ARTICLE = {"type": "article", "id": "a", "title": "One", "input_message_content": {"message_text": "Tea."}}
WITH_BUTTON = ARTICLE | {"reply_markup": {"inline_keyboard": [[UP]]}}


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        sandbox.world.updates.allow(["message", "callback_query", "inline_query", "chosen_inline_result"])
        yield sandbox


@pytest.fixture
async def api(sandbox):
    """Calls a method by JSON and gives the whole answer."""
    async with httpx.AsyncClient(verify=False, base_url=f"{sandbox.url}/bot{sandbox.token}/") as client:

        async def call(method, **params):
            return (await client.post(method, json=params)).json()

        yield call


def updates_of(sandbox: Sandbox, kind: str):
    return [waiting.payload for waiting in sandbox.world.updates.pending if waiting.kind == kind]


def a_chat_without_the_bot(sandbox: Sandbox):
    ada = sandbox.world.add_person("Ada")
    group = sandbox.world.add_group("Elsewhere")
    sandbox.world.join(ada, group)
    sandbox.world.set_bot_status(group, "left")
    return ada, group


async def typed(sandbox: Sandbox, api, ada, chat, **answer):
    """What Ada sees, and the bot's answer to its own answer."""
    typing = asyncio.create_task(sandbox.world.type_inline(ada, chat, "tea", timeout_seconds=2))
    await asyncio.sleep(0)
    (query,) = updates_of(sandbox, "inline_query")
    return query, await api("answerInlineQuery", inline_query_id=query["id"], **answer), typing


async def test_what_is_chosen_becomes_a_message_that_the_bot_edits_from_outside(sandbox: Sandbox, api) -> None:
    ada, group = a_chat_without_the_bot(sandbox)
    button = {"text": "More", "start_parameter": "inline"}
    query, answered, typing = await typed(sandbox, api, ada, group, results=[WITH_BUTTON], button=button)
    assert answered == {"ok": True, "result": True} and query["chat_type"] == "supergroup" and "chat" not in query
    offered = await typing
    assert offered is not None and (offered.hint, offered.start_parameter) == ("More", "inline")
    message = sandbox.world.choose_inline(ada, group, offered, offered.results[0])
    assert (message.sender, message.text) == (ada, "Tea.")
    (chosen,) = updates_of(sandbox, "chosen_inline_result")
    assert chosen["inline_message_id"] == message.inline_id and (chosen["result_id"], chosen["query"]) == ("a", "tea")
    assert not [each for each in updates_of(sandbox, "message") if each.get("text") == "Tea."], "the bot is not there"
    edited = await api(
        "editMessageReplyMarkup", inline_message_id=message.inline_id, reply_markup={"inline_keyboard": [[DOWN]]}
    )
    assert edited == {"ok": True, "result": True}
    assert (await api("editMessageText", inline_message_id=message.inline_id, text="Green tea."))["ok"]
    assert sandbox.world.current(message).text == "Green tea." and sandbox.world.current(message).buttons == ()
    assert "MESSAGE_ID_INVALID" in (await api("editMessageText", inline_message_id="no", text="x"))["description"]
    if METHOD_TABLE.exists():
        table = load_table(METHOD_TABLE)
        assert table.problems_of_object("InlineQuery", query) == []
        assert table.problems_of_object("ChosenInlineResult", chosen) == []


async def test_a_press_names_the_message_by_its_inline_id_alone(sandbox: Sandbox, api) -> None:
    ada, group = a_chat_without_the_bot(sandbox)
    _, _, typing = await typed(sandbox, api, ada, group, results=[WITH_BUTTON])
    offered = await typing
    message = sandbox.world.choose_inline(ada, group, offered, offered.results[0])
    assert await sandbox.world.press(ada, message, "up:1", timeout_seconds=0.1) is None
    (press,) = updates_of(sandbox, "callback_query")
    assert press["inline_message_id"] == message.inline_id and "message" not in press


async def test_where_the_bot_is_it_sees_what_is_sent_via_it_and_without_feedback_no_choice(
    sandbox: Sandbox, api
) -> None:
    ada = sandbox.world.add_person("Ada")
    chat = sandbox.world.private_chat(ada)
    sandbox.world.state.inline_feedback = False
    query, _, typing = await typed(sandbox, api, ada, chat, results=[ARTICLE])
    assert query["chat_type"] == "sender"
    offered = await typing
    sandbox.world.choose_inline(ada, chat, offered, offered.results[0])
    (seen,) = updates_of(sandbox, "message")
    assert seen["via_bot"]["id"] == sandbox.world.bot.id and seen["from"]["id"] == ada.id
    assert updates_of(sandbox, "chosen_inline_result") == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"results": [ARTICLE] * 51}, "RESULTS_TOO_MUCH"),
        ({"results": [ARTICLE, ARTICLE]}, "RESULT_ID_DUPLICATE"),
        ({"results": [ARTICLE | {"id": "x" * 65}]}, "RESULT_ID_INVALID"),
        ({"results": [ARTICLE | {"type": "game"}]}, "unsupported type"),
        ({"results": [ARTICLE | {"title": ""}]}, "title is required"),
        ({"results": [ARTICLE | {"input_message_content": {"message_text": ""}}]}, "message text is empty"),
        ({"results": [ARTICLE | {"input_message_content": {"message_text": "x" * 4097}}]}, "MESSAGE_TOO_LONG"),
        ({"results": [], "button": {"start_parameter": "x"}}, "SWITCH_PM_TEXT_EMPTY"),
        ({"results": [], "button": {"text": "More", "start_parameter": "no blanks"}}, "START_PARAM_INVALID"),
    ],
)
async def test_what_may_not_be_offered_is_refused_in_telegrams_words(sandbox: Sandbox, api, answer, reason) -> None:
    ada, group = a_chat_without_the_bot(sandbox)
    _, answered, typing = await typed(sandbox, api, ada, group, **answer)
    assert not answered["ok"] and reason in answered["description"]
    assert not typing.done(), "nothing has been offered"
    typing.cancel()


async def test_a_query_that_nobody_waits_for_is_too_old_and_a_long_one_is_never_sent(sandbox: Sandbox, api) -> None:
    ada, group = a_chat_without_the_bot(sandbox)
    late = await api("answerInlineQuery", inline_query_id="7", results=[])
    assert "query is too old" in late["description"]
    with pytest.raises(WorldError):
        await sandbox.world.type_inline(ada, group, "x" * 257)
