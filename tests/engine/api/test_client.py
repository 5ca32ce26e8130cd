"""Our client against our server, and against servers that are not ours."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from engine.api.client import EngineClient
from engine.api.types import Message, Reply, Sampling, WrittenText
from engine.errors import EngineBusy, EngineUnavailable, ModelError, RequestError
from tests.engine.conftest import Server

MESSAGES = [Message("system", "You write."), Message("user", "Write a poem on 茶")]
GREEDY = Sampling(max_tokens=24, temperature=0.0, ignore_eos=True)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[EngineClient]:
    async with httpx.AsyncClient() as http:
        yield EngineClient(server.url, http=http)


async def test_a_stream_gives_the_text_and_last_the_reply_that_complete_gives(client: EngineClient) -> None:
    *pieces, reply = [piece async for piece in client.stream(MESSAGES, GREEDY, model="tiny")]
    assert isinstance(reply, Reply)
    assert "".join(map(str, pieces)) == reply.text
    assert reply == await client.complete(MESSAGES, GREEDY, model="tiny")
    assert (reply.model, reply.completion_tokens, reply.finish_reason) == ("tiny", 24, "length")
    assert reply.prompt_tokens > 0


async def test_every_field_of_sampling_reaches_the_server(client: EngineClient) -> None:
    sampling = Sampling(
        max_tokens=12, temperature=0.9, top_p=0.9, top_k=40, min_p=0.01, repetition_penalty=1.2, seed=0, ignore_eos=True
    )
    reply = await client.complete(MESSAGES, sampling, model="tiny")
    assert await client.complete(MESSAGES, sampling, model="tiny") == reply
    penalties = {"presence_penalty": 2.0, "frequency_penalty": 2.0}, {"dry_multiplier": 9.0, "dry_allowed_length": 1}
    for fields in penalties:
        assert (await client.complete(MESSAGES, replace(GREEDY, **fields), model="tiny")).text != await whole(client)
    stopped = Sampling(max_tokens=24, temperature=0.0, ignore_eos=True, stop=(reply_text_middle(await whole(client)),))
    assert (await client.complete(MESSAGES, stopped, model="tiny")).finish_reason == "stop"


async def whole(client: EngineClient) -> str:
    return (await client.complete(MESSAGES, GREEDY, model="tiny")).text


def reply_text_middle(text: str) -> str:
    return text[len(text) // 2 : len(text) // 2 + 2]


async def test_it_knows_whether_the_server_is_ready_and_what_it_serves(client: EngineClient) -> None:
    assert await client.is_ready()
    assert await client.models() == ("tiny",)


async def test_adapters_are_loaded_asked_for_and_unloaded(client: EngineClient, server: Server) -> None:
    await client.load_adapter("first", server.versions_dir / "first")
    await client.load_adapter("first", server.versions_dir / "first")
    assert await client.models() == ("tiny", "first")
    reply = await client.complete(MESSAGES, GREEDY, model="first")
    assert reply.text != await whole(client)
    await client.unload_adapter("first")
    await client.unload_adapter("first")
    assert await client.models() == ("tiny",)


async def test_a_refused_adapter_is_a_model_error(client: EngineClient, server: Server) -> None:
    with pytest.raises(ModelError, match="is not a version folder"):
        await client.load_adapter("none", server.versions_dir / "none")


async def test_an_unknown_model_and_a_long_prompt_are_request_errors(client: EngineClient) -> None:
    with pytest.raises(RequestError, match="no model 'gpt-9'") as refusal:
        await client.complete(MESSAGES, GREEDY, model="gpt-9")
    assert refusal.value.status == 404
    with pytest.raises(RequestError, match="shorten") as refusal:
        async for _ in client.stream([Message("user", "tea " * 500)], GREEDY, model="tiny"):
            pass
    assert refusal.value.status == 400


async def test_a_stream_that_is_closed_early_frees_the_server(client: EngineClient, server: Server) -> None:
    long = Sampling(max_tokens=200, temperature=0.0, ignore_eos=True)
    async with aclosing(client.stream(MESSAGES, long, model="tiny")) as pieces:
        await anext(pieces)
    async with httpx.AsyncClient(base_url=server.url) as http:
        while "ovation_engine_requests_running 0.0" not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.01)
    assert (await client.complete(MESSAGES, GREEDY, model="tiny")).text == await whole(client)


async def test_streams_use_their_connection_again(server: Server) -> None:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as http:
        opened = []

        async def note(request: httpx.Request) -> None:
            request.extensions["trace"] = trace

        async def trace(event: str, _: object) -> None:
            if event == "connection.connect_tcp.started":
                opened.append(event)

        http.event_hooks["request"].append(note)
        client = EngineClient(server.url, http=http)
        for _ in range(3):
            async for _piece in client.stream(MESSAGES, GREEDY, model="tiny"):
                pass
    assert len(opened) == 1


async def test_a_server_that_is_not_there_is_unavailable_and_not_ready() -> None:
    async with httpx.AsyncClient() as http:
        client = EngineClient("http://127.0.0.1:1", http=http)
        assert not await client.is_ready()
        for call in (client.models, lambda: client.complete(MESSAGES, GREEDY, model="x")):
            with pytest.raises(EngineUnavailable, match="cannot be reached"):
                await call()


def elsewhere(answer: Callable[[httpx.Request], httpx.Response], url: str = "http://elsewhere") -> EngineClient:
    """A client of a server that is not ours."""
    return EngineClient(url, http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def chunk(text: str | None = None, finish_reason: str | None = None) -> str:
    delta = {} if text is None else {"content": text}
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish_reason}]})}\n\n"


def stream_of(*parts: str) -> httpx.Response:
    return httpx.Response(200, text="".join(parts), headers={"content-type": "text/event-stream; charset=utf-8"})


@pytest.mark.parametrize(
    "url", ["http://elsewhere", "http://elsewhere/", "http://elsewhere/v1", "http://elsewhere/v1/"]
)
async def test_only_openais_fields_are_sent_unless_more_is_asked_for(url: str) -> None:
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/chat/completions"
        bodies.append(json.loads(request.content))
        return stream_of(chunk("hello"), chunk(finish_reason="stop"), "data: [DONE]\n\n")

    client = elsewhere(answer, url)
    *_, reply = [piece async for piece in client.stream(MESSAGES, Sampling(), model="m")]
    assert reply == Reply((WrittenText("hello", "stop"),), "m")
    assert set(bodies[0]) == {"model", "messages", "max_tokens", "temperature", "top_p", "stream", "stream_options"}
    penalties = {"repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.25, "dry_multiplier": 0.8}
    more = Sampling(**penalties, top_k=3, min_p=0.1, seed=0, stop=("x",), ignore_eos=True)
    async for _ in client.stream(MESSAGES, more, model="m"):
        pass
    sent = {name: bodies[1][name] for name in set(bodies[1]) - set(bodies[0])}
    assert sent == penalties | {
        "top_k": 3,
        "min_p": 0.1,
        "seed": 0,
        "stop": ["x"],
        "ignore_eos": True,
    }


async def test_vllms_chunks_are_read() -> None:
    role = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    usage = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
    client = elsewhere(
        lambda _: stream_of(
            ": ping\n\n", role, chunk("a\u2028"), chunk("茶"), chunk("", "length"), usage, "data: [DONE]\n\n"
        )
    )
    pieces = [piece async for piece in client.stream(MESSAGES, Sampling(), model="m")]
    assert pieces == ["a\u2028", "茶", Reply((WrittenText("a\u2028茶", "length", 2),), "m", 7, 2)]


@pytest.mark.parametrize(
    "response",
    [
        stream_of(chunk("half"), 'data: {"error": {"message": "CUDA out of memory"}}\n\n'),
        stream_of(chunk("half"), "data: {\n\n"),
        stream_of("data: []\n\n"),
        stream_of('data: {"choices": null}\n\n'),
        httpx.Response(200, html="<html>a proxy's page</html>"),
        httpx.Response(502, html="<html>bad gateway</html>"),
        httpx.Response(503, json={"error": {"message": "loading"}}),
    ],
)
async def test_an_answer_that_breaks_off_or_makes_no_sense_is_unavailable(response: httpx.Response) -> None:
    client = elsewhere(lambda _: response)
    with pytest.raises(EngineUnavailable):
        async for _ in client.stream(MESSAGES, Sampling(), model="m"):
            pass


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError]
)
async def test_faults_of_the_network_are_unavailable(fault: type[httpx.TransportError]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise fault("", request=request)

    client = elsewhere(answer)
    assert not await client.is_ready()
    with pytest.raises(EngineUnavailable):
        await client.complete(MESSAGES, Sampling(), model="m")
    with pytest.raises(EngineUnavailable):
        await client.load_adapter("a", Path("/a"))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), (None, 1.0), ("Wed, 21 Oct 2026", 1.0)])
async def test_a_full_queue_says_when_to_come_back(header: str | None, seconds: float) -> None:
    headers = {} if header is None else {"Retry-After": header}
    client = elsewhere(lambda _: httpx.Response(429, json={"error": {"message": "busy"}}, headers=headers))
    with pytest.raises(EngineBusy, match="busy") as refusal:
        await client.complete(MESSAGES, Sampling(), model="m")
    assert refusal.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "body", [{"error": {"message": "too long"}}, {"message": "too long"}, {"detail": "too long"}, {"error": "too long"}]
)
async def test_a_refusal_is_told_in_the_servers_words(body: dict[str, object]) -> None:
    client = elsewhere(lambda _: httpx.Response(400, json=body))
    with pytest.raises(RequestError, match="The conversation is too long for the engine's model. It says: too long$"):
        await client.complete(MESSAGES, Sampling(), model="m")


async def test_vllms_answers_about_adapters_are_understood() -> None:
    message = "The lora adapter 'a' has already been loaded."
    await elsewhere(lambda _: httpx.Response(400, json={"error": {"message": message}})).load_adapter("a", Path("/a"))
    with pytest.raises(ModelError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        await elsewhere(lambda _: httpx.Response(404, json={"detail": "Not Found"})).load_adapter("a", Path("/a"))


async def test_the_base_comes_first_among_models_and_readiness_needs_no_health_page() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/models":
            return httpx.Response(404)
        return httpx.Response(200, json={"data": [{"id": "lora", "parent": "base"}, {"id": "base", "parent": None}]})

    client = elsewhere(answer)
    assert await client.models() == ("base", "lora")
    assert await client.is_ready()


def test_the_client_needs_no_torch() -> None:
    script = (
        "import sys, engine.api.client, engine.runs.versions;"
        " print([m for m in sys.modules if m in {'torch','transformers'}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
