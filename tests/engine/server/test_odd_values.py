"""Strange text and numbers in every field of every body: an answer or a refusal, no 500, no error in the log."""

import json
import logging

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
    async with served(Engine(tiny_base)) as http:
        for path, body in bodies:
            answer = await http.post(path, content=json.dumps(body), headers=JSON)
            is_well = answer.status_code == 200 or (answer.status_code < 500 and answer.json()["error"]["message"])
            assert is_well, (path, body, answer.text)
        assert (await http.get("/health")).status_code == 200
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info]
