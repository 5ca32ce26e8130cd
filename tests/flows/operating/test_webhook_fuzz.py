"""Whatever is posted to the webhook by who knows the secret is taken or refused, and the bot goes on."""

import copy
import json
import random
from typing import Any

import httpx
import pytest

from bot.sandbox.server import Sandbox
from bot.serving.engine_process import free_port
from bot.telegram.inbox import SECRET_HEADER
from tests.support.fake_engine import FakeEngine
from tests.support.mutations import VALUES, places_in
from tests.support.scene import BotProcess, Scene

SECRET = "only-telegram-knows"
USER = {"id": 5_001, "is_bot": False, "first_name": "Eve", "language_code": "en"}
CHAT = {"id": 5_001, "type": "private", "first_name": "Eve"}
SAID = {
    "message_id": 7, "date": 1_790_000_000, "chat": CHAT, "from": USER, "text": "/help",
    "entities": [{"type": "bot_command", "offset": 0, "length": 5}],
}  # fmt: skip
EMOJI = [{"type": "emoji", "emoji": "👍"}]
HERE = {"chat": CHAT, "message_id": 7, "date": 1}
RIGHT: list[dict[str, Any]] = [
    {"message": SAID},
    {"message": SAID | {"text": "hello", "entities": [], "reply_to_message": SAID, "via_bot": USER | {"is_bot": True}}},
    {"channel_post": SAID | {"chat": {"id": -100_5, "type": "channel", "title": "x"}, "sender_chat": CHAT}},
    {"callback_query": {"id": "1", "from": USER, "chat_instance": "1", "data": "up:1", "message": SAID}},
    {"message_reaction": HERE | {"user": USER, "old_reaction": [], "new_reaction": EMOJI}},
    {"message_reaction_count": HERE | {"reactions": [{"type": EMOJI[0], "total_count": 2}]}},
    {"my_chat_member": {
        "chat": CHAT | {"type": "group", "id": -5}, "from": USER, "date": 1,
        "old_chat_member": {"status": "left", "user": USER}, "new_chat_member": {"status": "member", "user": USER},
    }},
    {"inline_query": {"id": "1", "from": USER, "query": "slogan tea", "offset": ""}},
    {"chosen_inline_result": {"result_id": "1", "from": USER, "query": "x", "inline_message_id": "y"}},
]  # fmt: skip
NESTED: Any = SAID
for _ in range(200):
    NESTED = {**SAID, "reply_to_message": NESTED}


def body_of(dice: random.Random, number: int) -> bytes:
    """An update as Telegram sends it, in which some fields are altered; or what is none."""
    update = json.loads(json.dumps({"update_id": 810_000_000 + number} | dice.choice(RIGHT)))
    for _ in range(dice.randrange(4)):
        *path, last = dice.choice(places_in(update)[1:])
        holder = update
        for key in path:
            holder = holder[key]
        if dice.random() < 0.2 and isinstance(holder, dict):
            del holder[last]
        else:
            holder[last] = copy.deepcopy(dice.choice([*VALUES, NESTED, 2**63, -(2**63), 10**18]))
    body = json.dumps(update).encode()
    match dice.randrange(12):
        case 0:
            return body[: dice.randrange(len(body))]
        case 1:
            return dice.choice(
                [b"[" * 50_000, b'{"update_id":' * 3_000, dice.randbytes(50), b"", b"\xef\xbb\xbf" + body]
            )
        case _:
            return body


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 120), pytest.param(2, 3_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
async def test_whatever_is_posted_the_bot_goes_on(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine, seed: int, count: int
) -> None:
    dice = random.Random(seed)
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}/telegram"
    await bot.start(WEBHOOK_URL=url, WEBHOOK_SECRET=SECRET, WEBHOOK_LISTEN=address, ENGINE_URL=fake_engine.url)
    async with httpx.AsyncClient(timeout=60, headers={SECRET_HEADER: SECRET}) as http:
        for number in range(count):
            body = body_of(dice, number)
            answer = await http.post(url, content=body)
            assert answer.status_code in (200, 400), (answer.status_code, body)
    ada, chat = scene.person("Ada")
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:")
    assert "Exception in ASGI" not in bot.log and "RecursionError" not in bot.log
    assert await bot.stop() == 0
    sandbox.calls.clear()  # answers to messages whose number is none are no calls as the method table has them
