"""Strange text and numbers in every field of every body: an answer or a refusal, no 500, no error in the log."""

import json
import logging
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from engine.inference.engine import Engine
from engine.models.loader import Base
from tests.support.asking import JSON, MESSAGES
from tests.support.learning.rated import served

TEXTS = ["", "<|end|>\ue000", "\0", "\ud800", "x" * 300, "a\u0301" * 50, "\u2028\ufeff\u202e", "\U0010ffff", "\ufffe"]
NUMBERS = [0, 1, -1, 2**63, -(2**63) - 1, 10**300, 1e308, -0.0, 0.5, 1e-320]
OTHERS = [None, True, [], {}, [None]]
TAKE_TEXT = ["model", "user", "safety_identifier", "stop", "dry_sequence_breakers", "stream_options"]
TAKE_NUMBERS = [
    "temperature", "top_p", "min_p", "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "dry_base", "dry_allowed_length", "n", "seed", "logprobs", "top_logprobs", "spare_seconds",
]  # fmt: skip
CALLS = {
    "/v1/load_lora_adapter": ["lora_name", "lora_path"], "/v1/unload_lora_adapter": ["lora_name"],
    "/v1/moderations": ["input"], "/v1/watermark": ["input"],
}  # fmt: skip


async def test_no_value_of_any_field_is_too_odd(tiny_base: Base, caplog: pytest.LogCaptureFixture) -> None:
    plain = {"model": "tiny", "messages": MESSAGES, "max_tokens": 1}
    chats = [plain | {name: value} for name in TAKE_TEXT for value in [*TEXTS, *OTHERS, ["\ud800"]]]
    chats += [plain | {"logprobs": True, name: value} for name in TAKE_NUMBERS for value in NUMBERS + OTHERS]
    chats += [plain | {"messages": [{"role": role, "content": text}]} for text in TEXTS for role in ("user", text)]
    bodies = [("/v1/chat/completions", body) for body in chats]
    fields = [(path, names, value) for path, names in CALLS.items() for value in [*TEXTS, *OTHERS]]
    bodies += [(path, dict.fromkeys(names, value)) for path, names, value in fields]
    bodies += [("/v1/load_lora_adapter", {"lora_name": "good", "lora_path": text}) for text in TEXTS]
    await assert_all_are_answered(tiny_base, bodies, caplog)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_no_request_at_random_is_too_odd(count: int, tiny_base: Base, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(22)
    await assert_all_are_answered(tiny_base, (at_random(random) for _ in range(count)), caplog)


def at_random(random: Random) -> tuple[str, bytes]:
    """A request with a few odd fields, or one of which a few bytes are others'."""
    path = random.choice(["/v1/chat/completions", "/v1/chat/completions", *CALLS])
    body: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "max_tokens": random.choice([1, 2, 3])}
    if path in CALLS:
        body = {name: random.choice(["good", "tiny"]) for name in CALLS[path]}
    fields = [*body, *TAKE_TEXT, *TAKE_NUMBERS, "stream", "ignore_eos"]
    for name in random.sample(fields, random.randrange(4)):
        if name != "max_tokens":  # the most that it may be takes minutes
            body[name] = odd_value(random, depth=3)
    sent = bytearray(json.dumps(body).encode())
    if random.random() < 0.3:
        for place in random.choices(range(len(sent)), k=random.randint(1, 4)):
            sent[place] = random.randrange(256)
    return path, bytes(sent)


def odd_value(random: Random, *, depth: int) -> object:
    shape = random.random()
    if depth and shape < 0.15:
        return [odd_value(random, depth=depth - 1) for _ in range(random.randrange(4))]
    if depth and shape < 0.3:
        names = ["role", "content", "type", "text", "include_usage", random.choice(TEXTS)]
        return {random.choice(names): odd_value(random, depth=depth - 1) for _ in range(random.randrange(4))}
    if shape < 0.6:
        return "".join(chr(random.choice([random.randrange(0x110000), random.randrange(128)])) for _ in range(9))
    return random.choice([*TEXTS, *OTHERS, *NUMBERS, random.gauss(0.0, 2.0), random.randrange(-5, 40)])


async def assert_all_are_answered(
    base: Base, bodies: Iterable[tuple[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    async with served(Engine(base)) as http:
        for path, body in bodies:
            content = body if isinstance(body, bytes) else json.dumps(body)
            answer = await http.post(path, content=content, headers=JSON)
            is_well = answer.status_code == 200 or (answer.status_code < 500 and answer.json()["error"]["message"])
            assert is_well, (path, body, answer.text)
        assert (await http.get("/health")).status_code == 200
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]
