"""Right streams of chat completions, and what becomes of them: one field altered, events lost, doubled or cut."""

import json
import random
from typing import Any

import httpx

SECRET = "Grandma keeps the keys under the begonia"
TEXT = "Green tea, 绿茶 😀, always."
PARTS = [TEXT[:6], TEXT[6:13], TEXT[13:]]


def chunk(text: object = None, finish_reason: object = None, **more: object) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}


def sse(*values: object, end: str = "\n\n", before: str = "data: ") -> bytes:
    return "".join(
        f"{before}{value if isinstance(value, str) else json.dumps(value)}{end}" for value in values
    ).encode()


RIGHT_VALUES: list[dict[str, Any]] = [
    {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f", **chunk("")},
    *({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **chunk(part)} for part in PARTS),
    {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **chunk(None, "stop")},
    {"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
]
VALUES: list[object] = [
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**30, "", "x", "0", "\ud800", "\0", "null",
    "stop", "length", [], [None], [[]], ["x"], [{}], {}, {"x": None}, {"content": []}, {"message": "no", "code": 400},
    {"code": 429}, {"code": [], "type": {}}, [{"type": "text", "text": None}], {"error": {"message": SECRET}},
    SECRET, "x" * 5000,
]  # fmt: skip
NAMES = [
    "error",
    "choices",
    "delta",
    "message",
    "content",
    "text",
    "usage",
    "finish_reason",
    "index",
    "object",
    "code",
    "type",
]


def places_in(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places_in(each, (*path, key)))]


def mutated(value: Any, chance: random.Random) -> Any:
    """A copy with one field changed, taken out, or put in."""
    value = json.loads(json.dumps(value))
    *path, last = chance.choice(places_in(value)[1:])
    holder = value
    for key in path:
        holder = holder[key]
    match chance.randrange(4):
        case 0 if isinstance(holder, dict):
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(NAMES)] = chance.choice(VALUES)
        case _:
            holder[last] = chance.choice(VALUES)
    return value


def bytes_of(events: list[bytes], chance: random.Random) -> list[bytes | Exception]:
    """The events as they may arrive: altered, doubled, left out, cut, broken off, in any pieces."""
    if chance.random() < 0.3:
        place = chance.randrange(len(events))
        event = events[place]
        cut = chance.randrange(len(event) + 1)
        events[place] = chance.choice(
            [b"", event * 2, event[:cut], event[:cut] + chance.randbytes(1) + event[cut:], event + b": ping\n\n"]
        )  # fmt: skip
    body = b"".join(events)
    body = chance.choice([lambda b: b, lambda b: b.replace(b"\n", b"\r\n"), lambda b: b"\xef\xbb\xbf" + b])(body)
    size = chance.choice([1 << 20, 100, 7])
    pieces: list[bytes | Exception] = [body[place : place + size] for place in range(0, len(body), size)]
    if chance.random() < 0.1:
        del pieces[chance.randrange(len(pieces) + 1) :]
        pieces.append(chance.choice([httpx.ReadError(""), httpx.RemoteProtocolError(""), httpx.ReadTimeout("")]))
    return pieces


def case(chance: random.Random) -> tuple[list[bytes], int]:
    """The events of a right stream, one of which is altered; and which."""
    place = chance.randrange(len(RIGHT_VALUES))
    values = [mutated(value, chance) if number == place else value for number, value in enumerate(RIGHT_VALUES)]
    return [*(sse(value) for value in values), sse("[DONE]")], place
