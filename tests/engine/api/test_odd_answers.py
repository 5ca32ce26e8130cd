"""Answers as servers give them that are not quite OpenAI's: what can be read is read, and what came is kept.

The fuzz mutates every field of a right stream; 10,000 cases of it are slow.
"""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from engine.api import client as client_module
from engine.api.client import EngineClient
from engine.api.types import Message, Reply, Sampling
from engine.errors import AnswerBroken, EngineBusy, EngineUnavailable, RequestError
from tests.support.mutations import PARTS, SECRET, TEXT, bytes_of, case, chunk, sse
from tests.support.virtual_time import in_virtual_time

MESSAGES = [Message("system", "Write a slogan."), Message("user", SECRET)]


class Body(httpx.AsyncByteStream):
    """An answer in pieces; an exception among them is raised, and a number is so many seconds of silence."""

    def __init__(self, *pieces: bytes | Exception | float) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)


def server(*pieces: bytes | Exception | float, status: int = 200, **headers: str) -> EngineClient:
    """A server that gives this answer to everything."""
    headers = {"transfer-encoding": "chunked", "content-type": "text/event-stream"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=Body(*pieces), headers=headers)

    return EngineClient("http://elsewhere", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))


async def read(client: EngineClient, n: int = 1) -> tuple[str, Reply]:
    *pieces, reply = [piece async for piece in client.stream(MESSAGES, Sampling(), model="m", n=n)]
    assert isinstance(reply, Reply)
    return "".join(map(str, pieces)), reply


WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]}
RIGHT = sse(*map(chunk, PARTS), chunk(None, "stop"), "[DONE]")
ODD: dict[str, Sequence[bytes]] = {
    "right": [RIGHT],
    "byte by byte": [bytes([byte]) for byte in RIGHT],
    "CRLF": [RIGHT.replace(b"\n", b"\r\n")],
    "CR": [RIGHT.replace(b"\n", b"\r")],
    "CRLF, cut between": [part + b"\r" if part else b"" for part in RIGHT.replace(b"\n", b"\n\r").split(b"\r")],
    "a BOM": [b"\xef\xbb\xbf" + RIGHT],
    "no blank between": [RIGHT.replace(b"data: ", b"data:")],
    "no empty line between": [RIGHT.replace(b"\n\n", b"\n")],
    "no end of the last line": [RIGHT.rstrip()],
    "no DONE": [RIGHT.partition(b"data: [DONE]")[0]],
    "no DONE, no reason": [sse(*map(chunk, PARTS))],
    "no reason": [sse(*map(chunk, PARTS), "[DONE]")],
    "done in small letters": [RIGHT.replace(b"[DONE]", b"[done]")],
    "keep-alive": [b": keep-alive\n\n", RIGHT.replace(b"data", b":\n\n: OPENROUTER PROCESSING\n\ndata")],
    "pings": [b"event: ping\ndata: {\"type\": \"ping\"}\n\n", RIGHT, b"event: ping\ndata: {}\n\n"],
    "ping in words": [sse("ping"), RIGHT],
    "events with names and ids": [RIGHT.replace(b"data:", b"event: chunk\nid: 7\nretry: 10\ndata:")],
    "several in one line": [sse("".join(json.dumps(chunk(part)) for part in PARTS)), sse(chunk(None, "stop"))],
    "one over several lines": [sse(*map(chunk, PARTS[:2])), sse(*json.dumps(chunk(PARTS[2]), indent=1).split("\n"))],
    "one over several events": [sse(json.dumps(chunk(TEXT))[:30]), sse(json.dumps(chunk(TEXT))[30:]), sse("[DONE]")],
    "lines of JSON": [sse(*map(chunk, PARTS), chunk(None, "stop"), before="", end="\n")],
    "plain JSON": [json.dumps(WHOLE).encode()],
    "plain JSON, indented": [json.dumps(WHOLE, indent=2, ensure_ascii=False).encode()],
    "a list of one": [json.dumps([WHOLE]).encode()],
    "a whole message as an event": [sse(WHOLE, "[DONE]")],
    "the message once more at the end": [sse(*map(chunk, PARTS), WHOLE, "[DONE]")],
    "the text once more at the end": [sse(*map(chunk, PARTS), chunk(None, "stop"), chunk(TEXT, "stop"), "[DONE]")],
    "choices null": [sse({"choices": None}), RIGHT, sse({"choices": None})],
    "choices empty": [sse({"choices": []}, {"choices": {}}, {"choices": [None, 3, "x"]}), RIGHT],
    "one choice without its list": [sse(*({"choices": chunk(part)["choices"][0]} for part in PARTS), "[DONE]")],
    "no delta": [sse({"choices": [{}]}, {"choices": [{"delta": None}]}, {"choices": [{"delta": []}]}), RIGHT],
    "delta in words": [sse(*({"choices": [{"delta": part}]} for part in PARTS), "[DONE]")],
    "message in place of delta": [sse(*({"choices": [{"message": {"content": part}}]} for part in PARTS), "[DONE]")],
    "text in place of delta": [sse(*({"choices": [{"text": part}]} for part in PARTS), "[DONE]")],
    "parts": [sse(*(chunk([{"type": "text", "text": part}]) for part in PARTS), chunk([], "stop"))],
    "parts in words": [sse(*(chunk([part]) for part in PARTS), chunk([], "stop"))],
    "one part": [sse(*(chunk({"type": "text", "text": {"value": part}}) for part in PARTS), "[DONE]")],
    "error null": [sse(*(chunk(part, error=None) for part in PARTS), chunk(None, "stop", error={}), "[DONE]")],
    "usage null": [sse(*(chunk(part, usage=None) for part in PARTS), chunk(None, "stop", usage=[1]), "[DONE]")],
    "usage nonsense": [RIGHT, sse({"choices": [], "usage": {"completion_tokens": "x", "prompt_tokens": -1}})],
    "index nonsense": [sse(*({"choices": [{"index": odd, "delta": {"content": part}}]}
                             for odd, part in zip(("0", None, 1e9), PARTS, strict=True)), "[DONE]")],
    "a reason in every chunk": [sse(*(chunk(part, "stop") for part in PARTS), "[DONE]")],
    "a reason that is none": [sse(*(chunk(part, "") for part in PARTS), chunk(None, {"type": "stop"}), "[DONE]")],
    "another server's own way": [sse(*({"message": {"content": part}, "done": False} for part in PARTS), before="",
                                     end="\n"), b'{"done": true}\n'],
    "another's": [sse(*({"content": part, "stop": False} for part in PARTS), "[DONE]")],
    "reasoning beside it": [sse({"choices": [{"delta": {"reasoning_content": "Hm."}}]}), RIGHT],
    "nonsense between": [RIGHT.replace(b"data", b"data: {\n\ndata: nonsense\n\n<br>\n\ndata", 2)],
    "after the end": [RIGHT, sse(chunk("more"), {"error": {"message": "late"}})],
    "half characters": [sse(*(json.dumps(chunk(half)) for half in ("a\ud83d", "\ude00b")), "[DONE]")],
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
async def test_what_can_be_read_is_read(name: str) -> None:
    expected = "a😀b" if name == "half characters" else TEXT
    client = server(*ODD[name])
    shown, reply = await read(client)
    assert (shown, reply.text, reply.finish_reason) == (expected, expected, "stop")
    assert client.fault == "" and client.useless == 0
    whole = await client.complete(MESSAGES, Sampling(), model="m")
    assert whole.text.startswith(expected)


async def test_any_content_type_and_gzip_are_read() -> None:
    for kind in ("application/json", "text/plain", "text/html", "nonsense", "text/event-stream; charset=latin-1", ""):
        assert (await read(server(RIGHT, content_type=kind)))[0] == TEXT
    packed = gzip.compress(RIGHT)
    assert (await read(server(packed[:20], packed[20:], content_encoding="gzip")))[0] == TEXT


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
async def test_a_text_that_was_cut_off_is_known(reason: str) -> None:
    assert (await read(server(sse(chunk(TEXT), chunk(None, reason)))))[1].finish_reason == "length"


async def test_several_texts_of_a_server_that_numbers_them_oddly() -> None:
    two = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}] * 2}
    assert [text.text for text in (await read(server(sse(two, "[DONE]")), n=2))[1].texts] == ["a", "a"]
    late = {"choices": [{"index": 1, "delta": {"content": TEXT}, "finish_reason": "stop"}]}
    assert (await read(server(sse(late, "[DONE]"))))[1].text == TEXT


BROKEN: dict[str, Sequence[bytes | Exception]] = {
    "an error": [sse(chunk(PARTS[0]), {"error": {"message": f"CUDA died over {SECRET}"}})],
    "an error by its event": [sse(chunk(PARTS[0])), b'event: error\ndata: {"message": "CUDA died"}\n\n'],
    "an old error": [sse(chunk(PARTS[0]), {"object": "error", "message": "CUDA died", "code": 500})],
    "an error in words": [sse(chunk(PARTS[0]), {"error": "CUDA died"})],
    "a busy server": [sse(chunk(PARTS[0]), {"error": {"message": "slow down", "code": 429}})],
    "a line cut off": [sse(chunk(PARTS[0])) + b'data: {"choices": [{"del'],
    "the network": [sse(chunk(PARTS[0])), httpx.ReadError("")],
    "silence": [sse(chunk(PARTS[0])), httpx.ReadTimeout("")],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_came_before_it_broke_off_is_kept(name: str, caplog: pytest.LogCaptureFixture) -> None:
    client = server(*BROKEN[name])
    for _ in range(2):
        with pytest.raises(AnswerBroken) as caught:
            await read(client)
    assert caught.value.text == PARTS[0]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [client.fault], "once, whatever comes of it"
    assert client.useless == 2
    assert not any(word in client.fault for word in SECRET.split() if len(word) > 4)


async def test_a_text_that_had_ended_is_whole_whatever_comes_then() -> None:
    for trouble in (sse({"error": "late"}), b"\xff" * 100, httpx.ReadError("")):
        assert (await read(server(sse(chunk(TEXT), chunk(None, "stop")), trouble)))[1].text == TEXT
    too_long = {"error": {"message": "context length exceeded", "code": 400}}
    assert (await read(server(sse(chunk(TEXT), too_long))))[1].text == TEXT, "asking again would bring no more"


@in_virtual_time
async def test_an_end_without_the_end_of_the_connection_is_waited_for_shortly() -> None:
    assert (await read(server(RIGHT, 10_000.0)))[1].text == TEXT


@in_virtual_time
async def test_signs_of_life_without_a_text_end_at_last() -> None:
    forever = [piece for _ in range(1000) for piece in (b": ping\n\n", 10.0)]
    with pytest.raises(AnswerBroken, match="signs of life, and no text"):
        await read(server(*forever))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no text in it"),
        (b"data: [DONE]\n\n", "no text in it"),
        (b'data: {"choices": null}\n\n', "no text in it"),
        (b"<!DOCTYPE html><html>Log in</html>", "a page for people"),
        (b"\xff\xfe\x00" * 50, "no text in it"),
        (b"[" * 100_000, "broke off"),
        (b"data: " + b"[" * 100_000 + b"]" * 100_000, "."),
    ],
)
async def test_an_answer_of_no_use_is_told(body: bytes, says: str) -> None:
    with pytest.raises(EngineUnavailable, match=says):
        await read(server(body))
    with pytest.raises(EngineUnavailable):
        await server(body).complete(MESSAGES, Sampling(), model="m")


@pytest.mark.parametrize("charset", ["hex", "zlib", "idna", "punycode", "rot13", "utf-16", "nonsense"])
async def test_what_a_header_says_of_the_characters_ends_nothing(charset: str) -> None:
    kind = f"application/json; charset={charset}"
    assert (await read(server(RIGHT, content_type=kind)))[0] == TEXT
    with pytest.raises(RequestError, match="no such luck"):
        await read(server(b'{"error": "no such luck"}', status=400, content_type=kind))
    assert not await server(b"no", status=503, content_type=kind).is_ready()
    assert await server(b'{"data": [{"id": "m"}]}', content_type=kind).models() == ("m",)


@pytest.mark.parametrize("error", ['{"code": [], "message": "died"}', '{"type": {}}', f"{'[' * 900}1{']' * 900}"])
async def test_an_error_of_any_shape_is_one(error: str) -> None:
    with pytest.raises(AnswerBroken):
        await read(server(sse(f'{{"error": {error}}}')))


# The fuzz


async def one_case(seed: int) -> None:
    chance = random.Random(seed)
    events, place = case(chance)
    is_intact = chance.random() < 0.5
    status = 200 if chance.random() < 0.9 else chance.choice([204, 302, 400, 401, 404, 413, 422, 429, 500, 503])
    pieces: Sequence[bytes | Exception] = events if is_intact else bytes_of(events, chance)
    client = server(*pieces, status=status, content_type=chance.choice(["text/event-stream", "application/json", ""]))
    kept = ""
    try:
        kept = (await read(client))[1].text
    except (EngineBusy, EngineUnavailable, RequestError) as error:
        kept = error.text if isinstance(error, AnswerBroken) else ""
        assert not any(word in str(error) for word in SECRET.split() if len(word) > 4), (seed, str(error))
    if is_intact and status == 200:
        before = "".join(PARTS[: place - 1]) if place else ""
        assert before in kept, (seed, events[place])
    assert all(word not in client.fault for word in SECRET.split() if len(word) > 4), (seed, client.fault)


@pytest.mark.parametrize("cases", [300, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_no_mutation_of_a_right_stream_ends_otherwise_than_in_a_text_or_a_sentence(
    cases: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_TAIL_SECONDS", 0.01)
    for seed in range(cases):
        await one_case(seed)
