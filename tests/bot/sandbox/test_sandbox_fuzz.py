"""Whatever is sent to the stand-in, as the bot, as a page or as nobody, is answered or refused, and it goes on."""

import asyncio
import json
import logging
import random
from typing import Any

import httpx
import pytest
import websockets

from bot.sandbox.api.methods import HANDLERS
from bot.sandbox.server import Sandbox
from bot.sandbox.world.world import World
from tests.bot.sandbox.test_sandbox import PNG

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 1.5, 1e308, 10**30, -(10**30), 2**63, "", " ", "x", "0", "1", "1e5", "\0",
    "null", "true", "ă😀\u202e\ufeff", "x" * 5_000, "{", "[", "[" * 3_000, '{"a":' * 300 + "1" + "}" * 300, "NaN",
    r'"\ud83d"', "attach://x", "attach://", "http://evil.example", "http://[", "../../etc/passwd", "9" * 5_000, [],
    [None], [{}], {}, {"type": "x"}, [["x"]], [[{"text": "", "callback_data": "x"}]], {"message_id": 1},
    [{"type": "emoji", "emoji": "👍"}], {"inline_keyboard": [[{"text": "y", "callback_data": "x" * 65}]]},
    {"inline_keyboard": [None]}, {"inline_keyboard": 5}, [{"type": "bold", "offset": -5, "length": 10**9}],
    [{"type": "bold", "offset": 10**9, "length": -1}], [{"command": "a", "description": "b"}],
    [{"type": "article", "id": "1", "title": "t", "input_message_content": {"message_text": "x"}}],
    {"type": "chat", "chat_id": "x"}, {"type": []},
]  # fmt: skip
NAMES = (
    "chat_id", "message_id", "text", "entities", "reply_markup", "reply_parameters", "photo", "document", "caption",
    "caption_entities", "url", "secret_token", "allowed_updates", "offset", "limit", "commands", "scope", "user_id",
    "language_code", "description", "short_description", "callback_query_id", "inline_query_id", "results",
    "button", "inline_message_id", "file_id", "message_thread_id", "parse_mode", "reaction", "x",
)  # fmt: skip
"""What the bot's methods take. `timeout` is left out: a poll waits for as long as it is told to."""
VERBS = ("people", "say", "react", "press", "about", "live", "files/file1", "nothing")
FIELDS = ("name", "language", "admin", "key", "chat", "text", "replyTo", "message", "emojis", "data")


def _value(dice: random.Random, world: World) -> Any:
    chats = [chat.id for chat in world.state.chats.values() for chat in [chat.chat]]
    return dice.choice([*ODD, *3 * chats])


def _as_form(values: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _sent(dice: random.Random, values: dict[str, Any]) -> dict[str, Any]:
    """The values in one of the forms that a request may have, some of them broken."""
    whole = json.dumps(values).encode()
    parts = "multipart/form-data; boundary=x"
    form = "application/x-www-form-urlencoded"
    return dice.choice([
        {"json": values},
        {"data": _as_form(values)},
        {"params": {name: value[:500] for name, value in _as_form(values).items()}},
        {"data": _as_form(values), "files": {"photo": ("a.png", PNG), "x": ("b\r\n.txt", b"")}},
        {"content": whole[: dice.randrange(len(whole) + 1)], "headers": {"Content-Type": "application/json"}},
        {"content": dice.randbytes(40), "headers": {"Content-Type": "application/json"}},
        {"content": b"text=%ff%fe&chat_id=" + dice.randbytes(9), "headers": {"Content-Type": form}},
        {"content": dice.randbytes(99), "headers": {"Content-Type": parts}},
        {"content": b"--x\r\n" + dice.randbytes(9) + b"\r\n\r\nx\r\n--x--", "headers": {"Content-Type": parts}},
        {"content": whole, "headers": {"Content-Type": dice.choice(["", "text/plain", "multipart/form-data", ";"])}},
    ])  # fmt: skip


async def _until_heard(line: websockets.ClientConnection, words: str) -> None:
    while words not in await line.recv():
        pass


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 300), pytest.param(2, 3_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
async def test_whatever_is_asked_is_answered_or_refused(seed, count, caplog):
    dice = random.Random(seed)
    caplog.set_level(logging.WARNING)
    async with Sandbox(admin_id=42, room="Tea house") as sandbox, httpx.AsyncClient(base_url=sandbox.url) as client:
        world = sandbox.world
        entered = (await client.post("/api/people", json={"name": "Ada", "language": "en"})).json()
        own = {"Authorization": f"Bearer {entered['key']}"}
        ada = world.people[0]
        world.say(ada, world.private_chat(ada), "/start")
        address = f"{sandbox.url.replace('http', 'ws')}/api/live?key={entered['key']}"
        async with websockets.connect(address, proxy=None, max_size=None) as line:
            await line.recv()
            heard = asyncio.create_task(_until_heard(line, "still here"))
            for _ in range(count):
                if dice.random() < 0.6:
                    method = dice.choice([*HANDLERS, "sendMessage", "editMessageText", "no%00thing"])
                    path = f"/bot{sandbox.token}/{method}"
                    values = {name: _value(dice, world) for name in dice.sample(NAMES, dice.randrange(8))}
                    wanted = {"text": "words", "chat_id": dice.choice(list(world.state.chats))}
                    sent = _sent(dice, (wanted if dice.random() < 0.7 else {}) | values)
                else:
                    path = f"/api/{dice.choice(VERBS)}"
                    sent = _sent(dice, {name: _value(dice, world) for name in dice.sample(FIELDS, dice.randrange(7))})
                    sent["headers"] = sent.get("headers", {}) | own
                answer = await client.request(dice.choice(["POST", "POST", "POST", "GET", "PUT"]), path, **sent)
                assert answer.status_code < 500, (path, sent, answer.text)
                if path.startswith("/bot") and answer.status_code != 405:
                    assert answer.json()["ok"] is (answer.status_code == 200), (path, sent)
                if dice.random() < 0.05:
                    await line.send(dice.choice(["", "[" * 900, b"\xff", json.dumps(_value(dice, world))]))
            # the bot and the page go on
            await client.post(f"/bot{sandbox.token}/deleteWebhook")
            assert (await client.post(f"/bot{sandbox.token}/getMe")).json()["ok"]
            entered = await client.post("/api/people", json={"name": "Ben", "language": "zh"})
            words = {"Authorization": f"Bearer {entered.json()['key']}"}
            said = await client.post("/api/say", json={"chat": sandbox.room.id, "text": "still here"}, headers=words)
            assert said.status_code == 200
            await heard
    assert [
        record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ] == []
