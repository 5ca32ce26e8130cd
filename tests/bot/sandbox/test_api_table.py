"""The checker of recorded calls, and what it says of the stand-in where Telegram's published table is at hand."""

import json
from pathlib import Path

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update

from bot.sandbox.api.server import Call
from bot.sandbox.server import Sandbox
from bot.sandbox.world.text import REACTIONS
from bot.sandbox.world.world import now
from tests.bot.sandbox.test_sandbox import PNG, application, person_and_group
from tests.support.api_checker import Table, check_calls, load_table

PUBLISHED = Path(__file__).parents[4] / "shared" / "telegram"
needs_table = pytest.mark.skipif(not PUBLISHED.exists(), reason="the Bot API's published table is not at hand")

TABLE = Table(
    methods={
        "sendMessage": {
            "fields": [
                {"name": "chat_id", "types": ["Integer", "String"], "required": True},
                {"name": "text", "types": ["String"], "required": True},
                {"name": "protect_content", "types": ["Boolean"], "required": False},
                {"name": "reply_parameters", "types": ["ReplyParameters"], "required": False},
                {"name": "entities", "types": ["Array of MessageEntity"], "required": False},
            ]
        }
    },
    types={
        "ReplyParameters": {"fields": [{"name": "message_id", "types": ["Integer"], "required": True}]},
        "MessageEntity": {"fields": [{"name": "type", "types": ["String"], "required": True}]},
    },
)


def call(method, **params):
    return Call(method, params, now(), 200)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (call("sendMessage", chat_id="1", text="x"), None),
        (call("sendMessage", chat_id=-5, text="x", reply_parameters='{"message_id": 3}'), None),
        (call("sendMessage", chat_id=1, text="x", entities=[{"type": "bold"}], protect_content="true"), None),
        (call("sendLove"), "the method is not in the table"),
        (call("sendMessage", chat_id=1), "required field text is missing"),
        (call("sendMessage", chat_id=1, text="x", colour="red"), "unknown field colour"),
        (call("sendMessage", chat_id=1, text=5), "text should be String, not 5"),
        (
            call("sendMessage", chat_id=1, text="x", protect_content="yes"),
            "protect_content should be Boolean, not 'yes'",
        ),
        (
            call("sendMessage", chat_id=1, text="x", reply_parameters={}),
            "required field reply_parameters.message_id is missing",
        ),
        (
            call("sendMessage", chat_id=1, text="x", entities='[{"kind": "b", "type": "bold"}]'),
            "unknown field entities[0].kind",
        ),
        (
            call("sendMessage", chat_id=1, text="x", entities="bold"),
            "entities should be Array of MessageEntity, not 'bold'",
        ),
    ],
)
def test_the_checker_names_what_is_wrong(made, problem):
    assert TABLE.problems_of(made) == ([] if problem is None else [problem])


def test_the_checker_reads_the_table_from_its_file(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"methods": {"getMe": {}}, "types": {}}), "utf-8")
    assert check_calls([call("getMe"), call("getYou")], path) == ["call 1, getYou: the method is not in the table"]


@needs_table
async def test_a_librarys_calls_and_the_stand_ins_answers_follow_the_published_table():
    table = load_table(PUBLISHED / "bot-api-10.1.json")
    async with Sandbox() as sandbox, application(sandbox) as app:
        ada, group = person_and_group(sandbox)
        sandbox.world.updates.allow(Update.ALL_TYPES)
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("👍", callback_data="up:1")]])
        sent = await app.bot.send_message(group.id, "text", reply_markup=keyboard)
        await sent.edit_text("other", reply_markup=keyboard)
        await app.bot.send_photo(group.id, PNG, caption="a picture", reply_markup=keyboard)
        sandbox.world.react(ada, sandbox.world.message(group, sent.message_id), ["👍"])
        sandbox.world.say(ada, group, "/slogan tea", reply_to=sent.message_id)
        sandbox.world.set_bot_status(group, "member")
        await sandbox.world.press(ada, sandbox.world.message(group, sent.message_id), "up:1", timeout_seconds=0.01)
        await app.bot.get_updates()
        await app.bot.get_chat(group.id)
        await app.bot.get_chat_member(group.id, ada.id)
        await app.bot.set_my_commands([("write", "Write")])
    returned = {name: method["returns"][0] for name, method in table.methods.items()}
    problems = [
        f"{made.method}: {problem}"
        for made in sandbox.calls
        for problem in table.problems_of_object(returned[made.method], made.result)
    ]
    kinds = {kind for update in sandbox.calls_of("getUpdates")[-1].result for kind in update if kind != "update_id"}
    assert check_calls(sandbox.calls, PUBLISHED / "bot-api-10.1.json") == []
    assert problems == []
    assert kinds == {"message", "message_reaction", "my_chat_member", "callback_query"}


@needs_table
def test_the_picker_offers_telegrams_reactions_in_telegrams_order():
    assert list(REACTIONS) == json.loads((PUBLISHED / "reaction-emoji.json").read_text("utf-8"))
