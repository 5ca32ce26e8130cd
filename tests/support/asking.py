"""How the tests of the server ask it: requests over HTTP, their texts, events and metrics."""

import asyncio
import json
from typing import Any

import httpx

JSON = {"Content-Type": "application/json"}
MESSAGES = [{"role": "user", "content": "Write a poem on tea"}]
GREEDY: dict[str, Any] = {"max_tokens": 16, "temperature": 0, "ignore_eos": True}


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
    return await http.post("/v1/load_lora_adapter", content=body, headers=JSON)


async def unload(http: httpx.AsyncClient, name: str) -> httpx.Response:
    return await http.post("/v1/unload_lora_adapter", json={"lora_name": name})


async def metric(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def until_idle(http: httpx.AsyncClient) -> None:
    while await metric(http, "ovation_engine_requests_running"):
        await asyncio.sleep(0.01)
