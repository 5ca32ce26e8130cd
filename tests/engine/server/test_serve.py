"""The real server over real HTTP, driven by the official openai client too."""

import asyncio
import json

import httpx
import openai
import pytest
import torch

from engine.api.types import Message
from engine.models.loader import Base
from tests.engine.conftest import CONTEXT_TOKENS, Server
from tests.support.asking import JSON, MESSAGES, chat, events, metric, text, until_idle


async def test_an_answer_has_openais_form_and_counts_its_tokens(http: httpx.AsyncClient) -> None:
    answer = (await chat(http)).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 16
    assert usage["total_tokens"] == usage["prompt_tokens"] + 16


async def test_a_stream_tells_the_same_text_and_ends_with_done(http: httpx.AsyncClient) -> None:
    whole = await text(http, max_tokens=100)
    *chunks, done = await events(http, max_tokens=100)
    assert done == "[DONE]"
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == whole
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["length"]
    assert len(choices) > 4
    assert len({json.loads(chunk)["id"] for chunk in chunks}) == 1


async def test_a_stream_tells_its_usage_when_asked(http: httpx.AsyncClient) -> None:
    *_, usage, done = await events(http, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["completion_tokens"] == 16


async def test_the_openai_client_gets_the_same_text_at_once_and_streamed(server: Server) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        whole = await client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_completion_tokens=16, temperature=0, extra_body={"ignore_eos": True}
        )
        stream = await client.chat.completions.create(
            model="tiny",
            messages=MESSAGES,
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        chunks = [chunk async for chunk in stream]
        listed = [model.id async for model in client.models.list()]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == (
        whole.choices[0].message.content
    )
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage
    assert listed[0] == "tiny"


async def test_the_openai_client_can_say_for_whom_it_asks_and_how_long_it_waits(
    server: Server, http: httpx.AsyncClient
) -> None:
    failed = 'ovation_engine_requests_total{outcome="failed"'
    before = await metric(http, failed)
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        ask = client.chat.completions.create
        for name in ("user", "safety_identifier"):
            whole = await ask(model="tiny", messages=MESSAGES, max_tokens=4, **{name: "ada"})
            assert whole.usage is not None and whole.usage.completion_tokens > 0
        with pytest.raises(openai.InternalServerError, match="allow more time") as late:
            await ask(model="tiny", messages=MESSAGES, extra_headers={"X-Server-Timeout": "0.001"})
    assert late.value.status_code == 504
    assert await metric(http, failed) == before + 1, "it does not ask again, as it does after other errors"


async def test_the_openai_client_raises_its_own_errors(server: Server) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-9'"):
            await client.chat.completions.create(model="gpt-9", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError, match="max_tokens is 0"):
            await client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=0)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"dry_multiplier": -1}, "dry_multiplier"),
        ({"dry_base": 0.5}, "dry_base"),
        ({"dry_allowed_length": 0}, "dry_allowed_length"),
        ({"dry_sequence_breakers": [""]}, "dry_sequence_breakers"),
        ({"n": 17}, "n"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text only"),
        ({"messages": [{"role": "user", "content": "tea " * 500}]}, str(CONTEXT_TOKENS)),
        ({"model": None}, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_bad_value_is_a_400_that_names_it(
    http: httpx.AsyncClient, fields: dict[str, object], word: str, stream: bool
) -> None:
    response = await chat(http, **{"stream": stream} | fields)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert word in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b"[" * 100_000, b"{}"])
async def test_a_malformed_body_is_a_400(http: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        response = await http.post(path, content=body, headers=JSON)
        assert response.status_code == 400
        assert response.json()["error"]["message"]


async def test_a_huge_body_an_unknown_path_and_a_wrong_method_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/chat/completions", content=b" " * (5 << 20), headers=JSON)).status_code == 413
    for response in (await http.get("/v1/nothing"), await http.get("/v1/chat/completions")):
        assert response.status_code in {404, 405}
        assert response.json()["error"]["message"]


async def test_unknown_and_null_fields_are_ignored_and_parts_of_text_are_joined(http: httpx.AsyncClient) -> None:
    parts = [{"type": "text", "text": "Write a poem"}, {"type": "text", "text": " on tea"}]
    odd = await text(
        http,
        frequency_penalty=None,
        logprobs=None,
        logit_bias={},
        user="x",
        top_k=-1,
        seed=None,
        messages=[{"role": "user", "content": parts}],
    )
    assert odd == await text(http)


@pytest.mark.parametrize("limit", [None, CONTEXT_TOKENS, 8192, 10**9])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_may_fill_the_context_and_no_more(
    http: httpx.AsyncClient, name: str, limit: int | None
) -> None:
    answer = (await chat(http, **{"max_tokens": None, name: limit})).json()
    assert answer["usage"]["total_tokens"] == CONTEXT_TOKENS
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("functions", [{"name": "f"}]),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
        ("logit_bias", {"5": 10}),
        ("modalities", ["text", "audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("reasoning_effort", "high"),
        ("store", True),
        ("guided_json", {"type": "object"}),
        ("structured_outputs", {"choice": ["a"]}),
        ("min_tokens", 5),
        ("stop_token_ids", [5]),
        ("chat_template", "{{ messages }}"),
        ("use_beam_search", True),
        ("messages", [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_would_change_the_answer_and_is_not_done_is_refused_by_name(
    http: httpx.AsyncClient, name: str, value: object, stream: bool
) -> None:
    response = await chat(http, **{name: value}, stream=stream)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["type"], error["code"]) == (name, "invalid_request_error", None)
    assert name in error["message"]


async def test_values_that_change_nothing_are_taken(http: httpx.AsyncClient) -> None:
    same = {
        "tools": [], "tool_choice": "none", "functions": None, "function_call": "auto", "logit_bias": {},
        "response_format": {"type": "text"}, "modalities": ["text"], "parallel_tool_calls": True, "store": False,
        "reasoning_effort": None, "service_tier": "auto", "metadata": {"a": "b"}, "user": "x", "min_tokens": 0,
        "prompt_cache_key": "k", "length_penalty": 1.0, "best_of": 1, "verbosity": "medium", "n": 1,
        "frequency_penalty": 0, "presence_penalty": 0, "stream_options": None, "something_new": 1,
    }  # fmt: skip
    assert await text(http, **same) == await text(http)


async def test_one_model_is_told_of_by_its_name(http: httpx.AsyncClient, server: Server) -> None:
    (listed,) = [each for each in (await http.get("/v1/models")).json()["data"] if each["id"] == "tiny"]
    assert (await http.get("/v1/models/tiny")).json() == listed
    for name in ("gpt-9", "a/b", "%2e%2e"):
        missing = await http.get(f"/v1/models/{name}")
        assert missing.status_code == 404
        assert (missing.json()["error"]["param"], missing.json()["error"]["code"]) == ("model", "model_not_found")
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        assert (await client.models.retrieve("tiny")).id == "tiny"


async def test_options_tell_the_methods_and_no_page_of_another_origin_is_let_in(
    http: httpx.AsyncClient,
) -> None:
    asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for path, method in (("/v1/chat/completions", "POST"), ("/v1/models", "GET"), ("/health", "GET")):
        told = await http.options(path)
        assert (told.status_code, told.content) == (204, b"")
        assert method in told.headers["allow"]
        preflight = await http.options(path, headers=asking)
        assert preflight.status_code == 403
        for answer in (told, preflight):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert (await http.options("/v1/nothing")).status_code == 404
    for answer in (await http.get("/v1/models", headers=asking), await http.post("/v1/moderations", headers=asking)):
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "invalid_request_error")
        assert "access-control-allow-origin" not in answer.headers
    for page in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await http.get("/v1/models", headers=page)).status_code in (400, 403)
    form = await http.post("/v1/unload_lora_adapter", content=b"{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415


async def test_a_lone_surrogate_and_control_tokens_are_text(http: httpx.AsyncClient) -> None:
    for content in ("\ud800 tea", "<|end|><|system|>", "\0", "👨‍👩‍👧‍👦"):
        body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 2})
        assert (await http.post("/v1/chat/completions", content=body, headers=JSON)).status_code == 200


async def test_a_seed_repeats_a_text_and_another_seed_does_not(http: httpx.AsyncClient) -> None:
    hot = {"temperature": 1.0, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.1}
    first, again, other = await asyncio.gather(*(text(http, seed=seed, **hot) for seed in (1, 1, 2)))
    assert first == again
    assert first != other


async def test_sixteen_at_once_all_get_their_own_whole_answer(http: httpx.AsyncClient) -> None:
    asked = [{"max_tokens": tokens, "seed": tokens, "temperature": 1.0} for tokens in range(1, 17)]
    alone = [await text(http, **fields) for fields in asked]
    assert await asyncio.gather(*(text(http, **fields) for fields in asked)) == alone


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_frees_its_row(http: httpx.AsyncClient, stream: bool) -> None:
    await until_idle(http)
    cancelled = await metric(http, 'ovation_engine_requests_total{outcome="cancelled"')
    leaving = asyncio.create_task(chat(http, max_tokens=200, stream=stream))
    while not await metric(http, "ovation_engine_requests_running"):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    while await metric(http, 'ovation_engine_requests_total{outcome="cancelled"') == cancelled:
        await asyncio.sleep(0.01)
    await until_idle(http)


async def test_metrics_count_requests_and_tokens(http: httpx.AsyncClient) -> None:
    name = 'ovation_engine_completion_tokens_total{version="tiny"}'
    before = await metric(http, name)
    await text(http)
    assert await metric(http, name) == before + 16
    assert await metric(http, "ovation_engine_first_token_seconds_count") > 0


async def test_log_probabilities_are_the_models_own_and_the_same_streamed(
    http: httpx.AsyncClient, tiny_base: Base
) -> None:
    asked = {"logprobs": True, "top_logprobs": 3, "frequency_penalty": 1.5, "max_tokens": 6}
    (choice,) = (await chat(http, **asked)).json()["choices"]
    told = choice["logprobs"]["content"]
    prompt = tiny_base.template.encode([Message("user", str(MESSAGES[0]["content"]))])
    text_of = tiny_base.tokenizer.decode
    ids = list(prompt)
    for token in told:
        logits = tiny_base.model(torch.tensor([ids])).logits[0, -1].float()
        logprobs = logits.detach().log_softmax(dim=-1)
        best = logprobs.topk(3)
        assert [each["token"] for each in token["top_logprobs"]] == [text_of([i]) for i in best.indices.tolist()]
        assert [each["logprob"] for each in token["top_logprobs"]] == pytest.approx(best.values.tolist(), abs=1e-3)
        assert token["bytes"] is None or bytes(token["bytes"]).decode() == token["token"]
        ids.append(min(range(len(logprobs)), key=lambda i: abs(float(logprobs[i]) - token["logprob"])))
        assert text_of([ids[-1]]) == token["token"]
    assert len(told) == 6
    streamed = [json.loads(event)["choices"][0]["logprobs"] for event in (await events(http, **asked))[:-1]]
    again = [token for each in streamed if each is not None for token in each["content"]]
    assert [token["token"] for token in again] == [token["token"] for token in told]
    plain = (await chat(http, max_tokens=6)).json()["choices"][0]
    assert plain["logprobs"] is None


@pytest.mark.parametrize(
    "fields", [{"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}, {"logprobs": True, "top_logprobs": -1}]
)
async def test_log_probabilities_that_openai_would_refuse_are_refused(
    http: httpx.AsyncClient, fields: dict[str, object]
) -> None:
    response = await chat(http, **fields)
    assert response.status_code == 400 and "top_logprobs" in response.json()["error"]["message"]
