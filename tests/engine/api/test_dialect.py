"""What servers of other makes want otherwise, as they say it themselves.

The answers are those of vLLM, `transformers serve` and OpenAI; a server that runs is asked in tests/flows.
"""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from engine.api.client import EngineClient
from engine.api.types import Message, Sampling
from engine.errors import EngineUnavailable, ModelError, NoAdapters, RequestError

MESSAGES = [Message("user", "hello")]
FOLDER = Path("/data/versions/v1")
Refuse = Callable[[dict[str, object]], httpx.Response | None]


class Elsewhere:
    """A server that is not ours: it lists `names`, refuses by `refuse`, and keeps what it was asked."""

    def __init__(self, *names: str, refuse: Refuse = lambda _: None) -> None:
        self.names = names
        self.refuse = refuse
        self.asked: list[dict[str, object]] = []
        self.client = EngineClient("http://elsewhere", http=httpx.AsyncClient(transport=httpx.MockTransport(self)))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": name} for name in self.names]})
        body = json.loads(request.content)
        self.asked.append(body)
        if (refusal := self.refuse(body)) is not None:
            return refusal
        choice = {"finish_reason": "stop", "message": {"content": "hi"}, "delta": {"content": "hi"}}
        if not body.get("stream"):
            return httpx.Response(200, json={"choices": [choice]})
        event = f"data: {json.dumps({'choices': [choice]})}\n\n"
        return httpx.Response(200, text=event, headers={"content-type": "text/event-stream"})

    async def ask(self, sampling: Sampling, model: str = "m") -> None:
        """One whole answer and one stream, which ends without [DONE]."""
        assert (await self.client.complete(MESSAGES, sampling, model=model)).text == "hi"
        *_, reply = [piece async for piece in self.client.stream(MESSAGES, sampling, model=model)]
        assert reply == await self.client.complete(MESSAGES, sampling, model=model)


def refusing(
    status: int, words: Callable[[str], object], *fields: str
) -> Callable[[dict[str, object]], httpx.Response]:
    def refuse(body: dict[str, object]) -> httpx.Response | None:
        unknown = [field for field in fields if field in body]
        return httpx.Response(status, json=words(unknown[0])) if unknown else None

    return refuse


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (422, lambda name: {"detail": f"Unexpected fields in the request: {{{name!r}}}"}),
        (400, lambda name: {"error": {"message": f"Unrecognized request argument supplied: {name}"}}),
        (400, lambda name: {"error": {"message": f"Unknown parameter: '{name}'.", "type": "invalid_request_error"}}),
        (422, lambda name: {"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]}),
    ],
)
async def test_fields_that_a_server_does_not_know_are_left_out_from_then_on(
    status: int, words: Callable[[str], object]
) -> None:
    server = Elsewhere(refuse=refusing(status, words, "min_p", "top_k", "stream_options"))
    sampling = Sampling(max_tokens=4, min_p=0.1, top_k=5, seed=3)
    await server.ask(sampling)
    assert len(server.asked) == 6, "one more for each field"
    assert server.asked[-1] == {
        "model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 1.0,
        "top_p": 1.0, "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize("words", ["top_p is 1.0, but it must be 0.5.", "Unknown parameter: 'temperature'.", "seed!"])
async def test_any_other_refusal_is_told(words: str) -> None:
    server = Elsewhere(refuse=lambda _: httpx.Response(400, json={"error": {"message": words}}))
    with pytest.raises(RequestError, match=words):
        await server.ask(Sampling(seed=1))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("model", "names", "called", "ours"),
    [
        ("Qwen/Qwen3-0.6B", ["Qwen/Qwen3-0.6B"], "Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("/models/Qwen3-0.6B", ["other", "Qwen/Qwen3-0.6B"], "Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("Qwen/Qwen3-0.6B", ["qwen3-0.6b"], "qwen3-0.6b", "qwen3-0.6b"),
        ("", ["Qwen/Qwen3-0.6B", "v1"], "Qwen/Qwen3-0.6B", "qwen3-0.6b"),
    ],
)
async def test_the_base_has_one_name_whatever_a_server_calls_it(
    model: str, names: list[str], called: str, ours: str
) -> None:
    server = Elsewhere(*names)
    assert await server.client.find_base(model) == ours
    assert server.asked == [], "the list says it"
    await server.ask(Sampling(), ours)
    await server.ask(Sampling(), "v1")
    assert [body["model"] for body in server.asked] == [called] * 3 + ["v1"] * 3


@pytest.mark.parametrize("names", [[], ["someone/else"]])
async def test_a_base_that_is_not_listed_is_asked_for(names: list[str]) -> None:
    server = Elsewhere(*names)
    assert await server.client.find_base("/models/mine") == "mine"
    await server.ask(Sampling(), "mine")
    assert {body["model"] for body in server.asked} == {"/models/mine"}


@pytest.mark.parametrize(
    "listed",
    [
        httpx.Response(200, json={"data": [None, 3, {}, {"id": None}, {"id": ""}]}),
        httpx.Response(200, json={"data": None}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="[" * 10_000),
        httpx.Response(429, json={}),
        httpx.Response(401, json={}),
        httpx.Response(500),
    ],
)
async def test_an_odd_list_of_models_keeps_nobody_out(listed: httpx.Response) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return listed if request.url.path == "/v1/models" else httpx.Response(200, json={"choices": [{"text": "hi"}]})

    client = EngineClient("http://odd", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    assert await client.find_base("/models/mine") == "mine"


async def test_where_the_base_is_not_there_the_first_of_the_list_serves_or_else_none() -> None:
    def refuse(body: dict[str, object]) -> httpx.Response | None:
        is_there = body["model"] == "someone/else"
        return None if is_there else httpx.Response(404, json={"error": {"message": "The model does not exist."}})

    assert await Elsewhere("someone/else", refuse=refuse).client.find_base("mine") == "else"
    with pytest.raises(EngineUnavailable, match="does not answer as MODEL=mine: .* The model does not exist"):
        await Elsewhere(refuse=refuse).client.find_base("mine")


def loading(status: int, message: str, *, health: int = 200) -> EngineClient:
    """vLLM, which answers so when it is to load an adapter."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health":
            return httpx.Response(health)
        return httpx.Response(status, json={"error": {"message": message, "type": "x", "param": None, "code": status}})

    return EngineClient("http://vllm", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize("words", ["has already been loaded. If you want to load", "has already beenloaded."])
async def test_an_adapter_that_is_loaded_already_is_well(words: str) -> None:
    await loading(400, f"The lora adapter 'v1' {words}").load_adapter("v1", FOLDER)


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (404, "Not Found", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        (
            500,
            "Call to add_lora method failed: LoRA is not enabled. Use --enable-lora to enable LoRA.",
            "--enable-lora",
        ),
        (404, "Loading lora v1 failed: No adapter found for /data/versions/v1", "under the same path"),
    ],
)
async def test_a_server_that_was_started_otherwise_is_told_from_a_bad_adapter(
    status: int, words: str, told: str
) -> None:
    with pytest.raises(NoAdapters, match=told):
        await loading(status, words).load_adapter("v1", FOLDER)


async def test_vllms_failure_over_an_adapter_is_the_adapters_unless_vllm_dies_of_it() -> None:
    words = "Call to add_lora method failed: LoRA rank 32 is greater than max_lora_rank 16."
    with pytest.raises(ModelError, match="max_lora_rank") as refusal:
        await loading(500, words).load_adapter("v1", FOLDER)
    assert not isinstance(refusal.value, NoAdapters)
    with pytest.raises(EngineUnavailable):
        await loading(500, words, health=503).load_adapter("v1", FOLDER)
