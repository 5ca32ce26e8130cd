"""Whoever knows the official openai client can use our server with it.

Every parameter and every refusal reaches it in the form that it expects; the wire itself is for test_serve.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion

from engine.inference.engine import Engine
from engine.models.loader import Base
from tests.engine.conftest import CONTEXT_TOKENS, Server
from tests.support.learning.rated import served

MESSAGES: list[Any] = [
    {"role": "developer", "content": "You write."},
    {"role": "user", "content": [{"type": "text", "text": "Write a poem on tea"}]},
]
GREEDY: dict[str, Any] = {"max_tokens": 24, "temperature": 0, "extra_body": {"ignore_eos": True}}


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", **({"max_retries": 0} | options)) as client:
        yield client


@pytest.fixture
async def client(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(server.url) as opened:
        yield opened


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> ChatCompletion:
    answer = await client.chat.completions.create(**({"model": "tiny", "messages": MESSAGES} | GREEDY | fields))
    assert isinstance(answer, ChatCompletion)
    return answer


async def text(client: openai.AsyncOpenAI, **fields: Any) -> str:
    content = (await ask(client, **fields)).choices[0].message.content
    assert content is not None
    return content


async def test_every_parameter_is_taken_and_the_seed_repeats_the_text(client: openai.AsyncOpenAI) -> None:
    hot: dict[str, Any] = {
        "temperature": 1.2,
        "top_p": 0.95,
        "extra_body": {"top_k": 50, "min_p": 0.01, "repetition_penalty": 1.1, "ignore_eos": True},
    }
    first, again, other = await asyncio.gather(*(text(client, seed=seed, **hot) for seed in (1, 1, 2)))
    assert first == again
    assert first != other
    for alone in ({"top_k": 1}, {"min_p": 0.999}):
        only_the_likeliest = await text(client, **hot | {"top_p": 1.0, "extra_body": {"ignore_eos": True, **alone}})
        assert only_the_likeliest == await text(client), f"{alone} leaves the likeliest token"
    assert await text(client, extra_body={"ignore_eos": True, "repetition_penalty": 2.0}) != await text(client)


async def test_ignore_eos_writes_to_the_last_token(client: openai.AsyncOpenAI) -> None:
    answer = await ask(client, max_tokens=100)
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (100, "length")


@pytest.mark.parametrize("is_list", [False, True])
async def test_a_stop_string_ends_the_text_before_itself(client: openai.AsyncOpenAI, is_list: bool) -> None:
    whole = await text(client)
    stop = whole[len(whole) // 2 :][:2]
    answer = await ask(client, stop=[stop, "never said"] if is_list else stop)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 24
    stream = await client.chat.completions.create(model="tiny", messages=MESSAGES, stop=stop, stream=True, **GREEDY)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole[: whole.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_models_are_listed_with_their_base(client: openai.AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert (models[0].id, models[0].object) == ("tiny", "model")
    assert models[0].created > 0


@pytest.mark.parametrize(
    ("fields", "kind", "word", "code"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "no model 'gpt-9'", "model_not_found"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens is 0", None),
        ({"messages": [{"role": "user", "content": "tea " * 500}]}, openai.BadRequestError, f"{CONTEXT_TOKENS}", None),
        ({"extra_body": {"min_p": "much"}}, openai.BadRequestError, "min_p", None),
        ({"messages": []}, openai.BadRequestError, "messages", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_the_exception_that_openais_server_would_cause(
    client: openai.AsyncOpenAI,
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    word: str,
    code: str | None,
    stream: bool,
) -> None:
    with pytest.raises(kind, match=word) as refusal:
        await client.chat.completions.create(
            **({"model": "tiny", "messages": MESSAGES, "max_tokens": 4, "stream": stream} | fields)
        )
    error = refusal.value
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.code == code
    assert error.type == ("not_found_error" if kind is openai.NotFoundError else "invalid_request_error")


async def test_a_stream_that_is_closed_frees_its_row(client: openai.AsyncOpenAI, server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:

        async def metric(name: str) -> float:
            lines = (await http.get("/metrics")).text.splitlines()
            return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

        cancelled = 'ovation_engine_requests_total{outcome="cancelled"'
        before = await metric(cancelled)
        stream = await client.chat.completions.create(
            model="tiny", messages=MESSAGES, stream=True, **GREEDY | {"max_tokens": 200}
        )
        await anext(aiter(stream))
        await stream.close()
        while await metric(cancelled) == before or await metric("ovation_engine_requests_running"):
            await asyncio.sleep(0.01)


async def test_a_full_queue_is_a_rate_limit_that_the_clients_own_retries_wait_out(tiny_base: Base) -> None:
    async with (
        served(Engine(tiny_base, max_batch=1, max_queue=1)) as http,
        client_of("http://engine", http_client=http) as hasty,
        client_of("http://engine", http_client=http, max_retries=20) as patient,
    ):
        answers = await asyncio.gather(*(ask(hasty, max_tokens=150) for _ in range(12)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert 0 < len(refused) < 12
        for refusal in refused:
            assert isinstance(refusal, openai.RateLimitError), refusal
            assert int(refusal.response.headers["Retry-After"]) >= 1
            assert refusal.type == "rate_limit_error"
        assert len(await asyncio.gather(*(ask(patient, max_tokens=100) for _ in range(4)))) == 4
