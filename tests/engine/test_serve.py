"""pytest tests/engine/test_serve.py: the real server over real HTTP, driven by the official openai client too."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from engine.versions import MANIFEST, publish
from tests.engine.conftest import CONTEXT_TOKENS, Server, start_server

MESSAGES = [{"role": "user", "content": "Write a poem on tea"}]
GREEDY: dict[str, Any] = {"max_tokens": 16, "temperature": 0, "ignore_eos": True}


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


async def chat(http: httpx.AsyncClient, model: str = "tiny", **fields: object) -> httpx.Response:
    body = {"model": model, "messages": MESSAGES} | GREEDY | fields
    return await http.post("/v1/chat/completions", json=body)


async def text(http: httpx.AsyncClient, model: str = "tiny", **fields: object) -> str:
    response = await chat(http, model, **fields)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


async def events(http: httpx.AsyncClient, **fields: object) -> list[str]:
    body = {"model": "tiny", "messages": MESSAGES, "stream": True} | GREEDY | fields
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return [line.removeprefix("data: ") async for line in response.aiter_lines() if line]


async def load(http: httpx.AsyncClient, name: str, path: object) -> httpx.Response:
    body = json.dumps({"lora_name": name, "lora_path": str(path)})  # in ASCII, so that it can say anything
    return await http.post("/v1/load_lora_adapter", content=body)


async def unload(http: httpx.AsyncClient, name: str) -> httpx.Response:
    return await http.post("/v1/unload_lora_adapter", json={"lora_name": name})


async def metric(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def until_idle(http: httpx.AsyncClient) -> None:
    while await metric(http, "ovation_engine_requests_running"):
        await asyncio.sleep(0.01)


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
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": CONTEXT_TOKENS}, str(CONTEXT_TOKENS)),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"n": 2}, "n"),
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
        response = await http.post(path, content=body)
        assert response.status_code == 400
        assert response.json()["error"]["message"]


async def test_a_huge_body_an_unknown_path_and_a_wrong_method_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/chat/completions", content=b" " * (5 << 20))).status_code == 413
    for response in (await http.get("/v1/nothing"), await http.get("/v1/chat/completions")):
        assert response.status_code in {404, 405}
        assert response.json()["error"]["message"]


async def test_unknown_and_null_fields_are_ignored_and_parts_of_text_are_joined(http: httpx.AsyncClient) -> None:
    parts = [{"type": "text", "text": "Write a poem"}, {"type": "text", "text": " on tea"}]
    odd = await text(
        http,
        frequency_penalty=1,
        logit_bias={},
        user="x",
        top_k=-1,
        seed=None,
        messages=[{"role": "user", "content": parts}],
    )
    assert odd == await text(http)


async def test_without_a_limit_the_answer_may_fill_the_context(http: httpx.AsyncClient) -> None:
    answer = (await chat(http, max_tokens=None)).json()
    assert answer["usage"]["total_tokens"] == CONTEXT_TOKENS


async def test_a_lone_surrogate_and_control_tokens_are_text(http: httpx.AsyncClient) -> None:
    for content in ("\ud800 tea", "<|end|><|system|>", "\0", "👨‍👩‍👧‍👦"):
        body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 2})
        assert (await http.post("/v1/chat/completions", content=body)).status_code == 200


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


async def test_versions_are_loaded_asked_for_by_name_and_unloaded(http: httpx.AsyncClient, server: Server) -> None:
    base = await text(http)
    for name in ("first", "second"):
        assert (await load(http, name, server.versions_dir / name)).status_code == 200
    assert (await load(http, "first", server.versions_dir / "first")).status_code == 200, "again is fine"
    models = (await http.get("/v1/models")).json()["data"]
    assert [(model["id"], model["parent"]) for model in models] == [
        ("tiny", None),
        ("first", "tiny"),
        ("second", "tiny"),
    ]
    texts = await asyncio.gather(*(text(http, name) for name in ("tiny", "first", "second")))
    assert texts[0] == base
    assert len(set(texts)) == 3
    for name in ("first", "second"):
        assert (await unload(http, name)).status_code == 200
        gone = await chat(http, name)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
        assert (await unload(http, name)).status_code == 404


async def test_a_hundred_swaps_under_load_fail_no_request(http: httpx.AsyncClient, server: Server) -> None:
    expected = await text(http, max_tokens=40)
    is_over = False

    async def keep_asking() -> set[str]:
        seen = set()
        while not is_over:
            seen.add(await text(http, max_tokens=40))
        return seen

    askers = [asyncio.create_task(keep_asking()) for _ in range(4)]
    for name in itertools.islice(itertools.cycle(("first", "second")), 100):
        assert (await load(http, name, server.versions_dir / name)).status_code == 200
        body = {"model": name, "messages": MESSAGES, "stream": True} | GREEDY | {"max_tokens": 40}
        async with http.stream("POST", "/v1/chat/completions", json=body) as running:
            assert (await unload(http, name)).status_code == 200
            assert [line async for line in running.aiter_lines() if line][-1] == "data: [DONE]"
    is_over = True
    assert await asyncio.gather(*askers) == [{expected}] * 4


async def test_a_corrupted_version_is_refused_and_the_old_one_serves_on(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path]
) -> None:
    assert (await load(http, "first", server.versions_dir / "first")).status_code == 200
    before = await text(http, "first")
    corrupted = publish(adapter_folders[1], server.versions_dir, "corrupted")
    weights = bytearray((corrupted / "adapter_model.safetensors").read_bytes())
    weights[-3] ^= 1
    (corrupted / "adapter_model.safetensors").write_bytes(weights)
    refusal = await load(http, "corrupted", corrupted)
    assert refusal.status_code == 400
    assert "is not what was published" in refusal.json()["error"]["message"]
    assert (await chat(http, "corrupted")).status_code == 404
    assert await text(http, "first") == before
    assert (await unload(http, "first")).status_code == 200


async def test_an_adapter_outside_the_versions_folder_is_refused(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    outside = publish(adapter_folders[0], tmp_path, "outside")
    (server.versions_dir / "link").symlink_to(outside)
    climbing = f"{server.versions_dir}/../{'../' * 20}{outside}"
    for path in (outside, server.versions_dir / "link", climbing, "relative", "", "/etc", "a\0b", "a" * 5000, "\ud800"):
        refusal = await load(http, "outside", path)
        assert refusal.status_code == 400
        assert "outside" not in (await http.get("/v1/models")).text


@pytest.mark.parametrize("name", ["tiny", "../x", "Upper", "", "a" * 65])
async def test_a_name_that_no_version_may_have_is_refused(http: httpx.AsyncClient, server: Server, name: str) -> None:
    assert (await load(http, name, server.versions_dir / "first")).status_code == 400


async def test_a_version_without_manifest_is_refused(
    http: httpx.AsyncClient, server: Server, adapter_folders: tuple[Path, Path]
) -> None:
    raw = shutil.copytree(adapter_folders[0], server.versions_dir / "raw")
    refusal = await load(http, "raw", raw)
    assert refusal.status_code == 400
    assert MANIFEST in refusal.json()["error"]["message"]


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine.serve", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--model", "nowhere"], "no model 'nowhere'"),
        (["--port", "70000"], "65535"),
        (["--port", "x"], "--port"),
        (["--threads", "0"], "--threads"),
        (["--max-batch", "-1"], "--max-batch"),
        (["--kv-tokens", "0"], "--kv-tokens"),
        (["--parent-pid", "0"], "--parent-pid"),
        (["--unknown"], "--unknown"),
    ],
)
def test_wrong_use_is_told_and_ends_with_status_2(options: list[str], word: str) -> None:
    ended = serve(*options)
    assert ended.returncode == 2
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_told_in_one_sentence(tiny_model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve("--model", str(tiny_model_folder), "--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert str(port) in ended.stderr


def test_a_damaged_model_is_told_in_one_sentence(tiny_model_folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_model_folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"x" * 100)
    ended = serve("--model", str(damaged), "--port", "0")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "cannot be loaded" in ended.stderr


async def test_sigterm_ends_the_server_in_time_and_running_answers_are_told(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    running = start_server(tiny_model_folder, tmp_path, "--max-batch", "1", "--max-queue", "400")
    async with httpx.AsyncClient(base_url=running.url, timeout=60, limits=httpx.Limits(max_connections=500)) as http:
        asking = [asyncio.create_task(chat(http, max_tokens=200)) for _ in range(300)]
        while not await metric(http, "ovation_engine_requests_waiting"):
            await asyncio.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 5) == 0
        answers = await asyncio.gather(*asking, return_exceptions=True)
    told = [answer.status_code for answer in answers if isinstance(answer, httpx.Response)]
    assert 503 in told
    assert set(told) <= {200, 503}
    assert all(isinstance(answer, httpx.Response | httpx.TransportError) for answer in answers)
    assert "Traceback" not in running.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/health")


async def test_a_full_queue_is_a_429_that_says_when_to_come_back(tiny_model_folder: Path, tmp_path: Path) -> None:
    running = start_server(tiny_model_folder, tmp_path, "--max-batch", "1", "--max-queue", "2")
    try:
        async with httpx.AsyncClient(base_url=running.url, timeout=60) as http:
            answers = await asyncio.gather(*(chat(http, max_tokens=100) for _ in range(12)))
    finally:
        running.process.terminate()
        running.process.wait(timeout=10)
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"


def test_the_server_ends_when_its_parent_has_died(tiny_model_folder: Path, tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, os, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'engine.serve', '--model', sys.argv[1], '--port', '0',"
        " '--parent-pid', str(os.getpid())], stderr=open(sys.argv[2], 'wb'))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-c", script, str(tiny_model_folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while not log.exists() or "Ready at " not in log.read_text():
            time.sleep(0.1)
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.1)
