"""The guard of every HTTP server: requests become whole in time, connections are bounded, other pages stay outside."""

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from bot.common.http_server import listen, serving
from engine.http_guard import BoundedConnection, OwnPagesOnly


async def _read(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def _slowly(_: Request) -> StreamingResponse:
    async def pieces():
        for _ in range(5):
            await asyncio.sleep(0.1)
            yield b"."

    return StreamingResponse(pieces())


async def _early(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no", status_code=403)


async def _largely(_: Request) -> PlainTextResponse:
    return PlainTextResponse("x" * 8_000_000)


async def _talk(line):
    await line.accept()
    async for words in line.iter_text():
        await line.send_text(words)


ROUTES = [
    Route("/", _read, methods=["GET", "POST"]),
    Route("/slowly", _slowly),
    Route("/largely", _largely),
    Route("/early", _early, methods=["POST"]),
    WebSocketRoute("/talk", _talk),
]
APP = Starlette(routes=ROUTES, middleware=[Middleware(OwnPagesOnly, hosts=["monitor.example"], hint="Or else.")])


@pytest.fixture
async def port(monkeypatch):
    """A server that waits a fifth of a second for what Ovation's wait longer for."""
    monkeypatch.setattr(BoundedConnection, "head_seconds", 0.2)
    monkeypatch.setattr(BoundedConnection, "body_seconds", 0.2)
    monkeypatch.setattr(BoundedConnection, "unread_seconds", 0.2)
    monkeypatch.setattr(BoundedConnection, "most_connections", 4)
    listener = listen("127.0.0.1", 0)
    async with serving(APP, listener):
        yield listener.getsockname()[1]


@asynccontextmanager
async def opened(port, sends=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sends)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def rest_of(reader):
    """What comes until the server closes; a test that waits for ever fails by its timeout."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_SENT = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n",
    "no body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    "half a chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "a body nobody reads": b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    "half a second request": WHOLE + b"GET / HT",
    "half a second body": WHOLE + b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    "a head of a WebSocket": b"GET /talk HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
}  # fmt: skip


@pytest.mark.parametrize("half", HALF_SENT.values(), ids=list(HALF_SENT))
async def test_what_is_half_sent_is_closed(port, half):
    async with opened(port, half) as (reader, _):
        await rest_of(reader)


@pytest.mark.parametrize("half", ["a head without an end", "no body", "a body nobody reads"])
async def test_a_byte_now_and_then_buys_no_more_time(port, half):
    async def drip(writer):
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    long = HALF_SENT[half].replace(b"Length: 5", b"Length: 5000")
    async with opened(port, long) as (reader, writer):
        dripping = asyncio.create_task(drip(writer))
        await rest_of(reader)
        dripping.cancel()


async def test_answers_and_websockets_take_as_long_as_they_take(port):
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as client,
        websockets.connect(f"ws://127.0.0.1:{port}/talk", proxy=None) as line,
    ):
        assert (await client.get("/slowly")).text == "....."
        assert (await client.post("/", content=b"x" * 100_000)).text == "100000 bytes"
        assert (await client.get("/")).text == "0 bytes"  # the same connection again
        await line.send("still there?")
        assert await line.recv() == "still there?"


async def test_who_opens_all_connections_keeps_nobody_out(port):
    async with AsyncExitStack() as stack:
        for sends in 5 * (b"", b"GET / HT", WHOLE, HALF_SENT["half a body"]):
            await stack.enter_async_context(opened(port, sends))
            async with httpx.AsyncClient(verify=False) as client:
                assert (await client.get(f"http://127.0.0.1:{port}")).status_code == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux counts what nobody reads")
@pytest.mark.parametrize("ends", [b"", b"Connection: close\r\n"])
async def test_who_reads_no_answer_keeps_nobody_out(port, ends):
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", port))
            deaf.sendall(b"GET /largely HTTP/1.1\r\nHost: localhost\r\n" + ends + b"\r\n")
        await asyncio.sleep(0.1)  # they are asked, and each answer waits for its reader
        answer = b""
        while not answer:
            async with opened(port, b"GET / HTTP/1.0\r\n\r\n") as (reader, _):
                answer = await rest_of(reader)
        assert answer.startswith(b"HTTP/1.1 200")


OTHERS_HOSTS = [
    "rebound.example",
    "localhost.example:80",
    "127.0.0.1.example",
    "10.0.0.1",
    "[::2]:80",
    "",
    "a@localhost",
]
OWN_HOSTS = ["localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]:8080", "monitor.example:443", "localhost."]


async def asked(method="GET", host="127.0.0.1", **headers):
    async with httpx.AsyncClient(base_url="http://test", transport=httpx.ASGITransport(APP)) as client:
        return await client.request(method, "/", headers={"Host": host} | _with_dashes(headers))


def _with_dashes(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize("host", OTHERS_HOSTS)
async def test_a_name_of_somebody_else_is_nobody_here(host):
    refused = await asked(host=host)
    assert refused.status_code == 400
    assert refused.text == "Nobody answers by that name here; ask localhost or 127.0.0.1. Or else."


@pytest.mark.parametrize("host", OWN_HOSTS)
async def test_own_names_are_served_at_any_port(host):
    assert (await asked(host=host)).status_code == 200
    assert (await asked("POST", host, Origin=f"http://{host}")).status_code == 200


async def test_a_program_that_names_no_host_is_served(port):
    async with opened(port, b"GET / HTTP/1.0\r\n\r\n") as (reader, _):
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 200")


OF_OTHER_PAGES = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://["},
    {"Origin": "http://localhost:1"}, {"Origin": "http://127.0.0.1"}, {"Origin": "chrome-extension://localhost:8080"},
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "whatever"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
    {"Origin": "http://localhost:8080", "Sec_Fetch_Site": "cross-site"},
]  # fmt: skip


@pytest.mark.parametrize("headers", OF_OTHER_PAGES)
async def test_what_another_page_sends_is_refused(headers):
    assert (await asked("GET", "localhost:8080", **headers)).status_code == 403
    assert (await asked("POST", "localhost:8080", **headers)).status_code == 403


async def test_no_other_page_opens_a_websocket(port):
    strangers = [*map(_with_dashes, OF_OTHER_PAGES), *({"Host": host} for host in OTHERS_HOSTS if host)]
    for headers in strangers:
        with pytest.raises(websockets.InvalidStatus):
            async with websockets.connect(f"ws://localhost:{port}/talk", proxy=None, additional_headers=headers):
                pass
    async with websockets.connect(f"ws://localhost:{port}/talk", proxy=None, origin=f"http://localhost:{port}"):
        pass


async def test_a_link_on_another_page_may_be_followed_but_not_posted():
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert (await asked(**link)).status_code == 200
    assert (await asked("POST", **link)).status_code == 403
    assert (await asked(Sec_Fetch_Site="none")).status_code == 200
    assert (await asked("POST", Sec_Fetch_Site="same-origin")).status_code == 200
