"""Flood limits, webhooks and the checker of recorded calls."""

import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update

from bot.common.http_server import listen, serving
from bot.sandbox.api.faults import FloodGate, FloodLimits
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


class Moment:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_in_one_chat_and_then_one_a_second():
    moment = Moment()
    gate = FloodGate(FloodLimits(chat_burst=3), moment)
    assert [gate.wait_seconds("sendmessage", "5") for _ in range(4)] == [0, 0, 0, 1]
    moment.seconds += 1.0
    assert [gate.wait_seconds("editmessagetext", "5") for _ in range(2)] == [0, 1]


def test_a_group_gets_twenty_a_minute_edits_included():
    moment = Moment()
    gate = FloodGate(FloodLimits(per_chat_per_second=0), moment)
    for number in range(20):
        assert gate.wait_seconds(("sendmessage", "editmessagetext")[number % 2], "-5") == 0
    moment.seconds += 10
    assert gate.wait_seconds("sendmessage", "-5") == 50
    assert gate.wait_seconds("getchat", "-5") == 0
    assert gate.wait_seconds("sendmessage", "-6") == 0


def test_all_chats_together_get_thirty_a_second():
    gate = FloodGate(FloodLimits(), Moment())
    waits = [gate.wait_seconds("sendmessage", str(chat)) for chat in range(1, 32)]
    assert waits == [0] * 30 + [1]


async def test_a_webhook_gets_updates_in_order_with_the_secret_and_again_after_a_failure():
    received = []

    async def take(request: Request) -> Response:
        received.append((request.headers["X-Telegram-Bot-Api-Secret-Token"], (await request.json())["message"]["text"]))
        return Response(status_code=500 if len(received) == 1 else 200)

    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    async with Sandbox() as sandbox, httpx.AsyncClient() as client, serving(app, listener):
        hook = {"url": f"http://127.0.0.1:{port}/hook", "secret_token": "s3cret"}
        await client.post(f"{sandbox.url}/bot{sandbox.token}/setWebhook", json=hook)
        ada = sandbox.world.add_person("Ada")
        for text in ("one", "two"):
            sandbox.world.say(ada, sandbox.world.private_chat(ada), text)
        await sandbox.world.until(lambda: len(received) == 3)
        await sandbox.world.until(lambda: not sandbox.world.updates.pending)
    assert received == [("s3cret", "one"), ("s3cret", "one"), ("s3cret", "two")]
