"""A server at ENGINE_URL that does much wrong: every prompt ends in a text or a sentence, and the operator is told."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.common.http_server import listen, serving
from tests.flows.operating.test_operator import health_address
from tests.support.mutations import RIGHT_VALUES, bytes_of, case, sse
from tests.support.scene import BotProcess, Scene

TEXT = "Tea that makes the morning worth its name."
CHUNK = {"choices": [{"index": 0, "delta": {"content": TEXT}}], "error": None, "usage": None}


def stream(*values: object) -> Response:
    events = "".join(f": keep-alive\r\n\r\ndata: {json.dumps(value)}\r\n\r\n" for value in values)
    return PlainTextResponse(f"event: ping\r\ndata: {{}}\r\n\r\n{events}")


def refusal(status: int, words: str) -> Response:
    return JSONResponse({"error": {"message": words}}, status)


ANSWERS = {
    "odd": (stream({"choices": None}, CHUNK), TEXT),
    "plain": (JSONResponse({"choices": [{"message": {"content": TEXT}}]}), TEXT),
    "cut": (stream(CHUNK, {"error": {"message": "CUDA died"}}), TEXT),
    "page": (PlainTextResponse("<!doctype html><p>Log in"), "cannot be read"),
    "nothing": (stream({"choices": None}), "cannot be read"),
    "long": (refusal(400, "maximum context length is 9 tokens"), "has become too long"),
    "unknown": (refusal(404, "The model `x` does not exist"), "is not there any more"),
    "field": (refusal(422, "min_q: extra inputs"), "does not know something"),
    "locked": (refusal(401, "bad key"), "does not let me in"),
    "refused": (refusal(400, "no"), "refuses it"),
    "large": (refusal(413, ""), "more than the model's server takes"),
}
"""By a word in the prompt: what the server answers, and what people read in the end."""


_MOST_ASKED = 6
"""Then a mutated answer is right, lest one that asks to wait be waited for an hour."""


@asynccontextmanager
async def mutating_engine() -> AsyncIterator[str]:
    """Each prompt's number says what becomes of the answer, each time anew."""
    asked: Counter[str] = Counter()

    async def chat(request: Request) -> Response:
        body = json.loads(await request.body())
        number = re.findall(r"\d+", body["messages"][-1]["content"])
        if not number or asked[number[-1]] > _MOST_ASKED:
            return PlainTextResponse(b"".join(map(sse, RIGHT_VALUES)))
        asked[number[-1]] += 1
        chance = random.Random(f"{number[-1]} {asked[number[-1]]}")
        if chance.random() < 0.1:
            return refusal(chance.choice([204, 302, 400, 401, 404, 413, 422, 429, 500, 503]), "no")

        async def events() -> AsyncIterator[bytes]:
            for piece in bytes_of(case(chance)[0], chance):
                if isinstance(piece, Exception):
                    raise piece
                yield piece

        return StreamingResponse(events(), media_type="text/event-stream")

    async def models(_: Request) -> Response:
        return JSONResponse({"data": [{"id": "starter"}]})

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)]
    with listen("127.0.0.1", 0) as listener:
        async with serving(Starlette(routes=routes), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("prompts", [40, pytest.param(1000, marks=pytest.mark.slow)])
async def test_no_prompt_is_lost_over_mutated_answers(bot: BotProcess, scene: Scene, prompts: int) -> None:
    async with mutating_engine() as url:
        await bot.start(ENGINE_URL=url, BEST_OF="1", PROMPTS_PER_HOUR="0")
        world = bot.sandbox.world
        said = []
        for number in range(prompts):
            person, chat = scene.person(f"P{number}")
            said.append(world.say(person, chat, f"/slogan begonias {number}"))
        await bot.settled(280)
        ended = [world.answers(each)[-1].text for each in said]
    assert bot.rows("SELECT count(*) FROM generations WHERE state IN ('delivered', 'failed')") == [(prompts,)]
    assert [text for text in ended if text.endswith(" …")] == [], "nobody is left with a placeholder"
    assert sum("Green" in text for text in ended) > prompts / 2
    assert "begonia" not in bot.log and "Traceback" not in bot.log


@asynccontextmanager
async def odd_engine() -> AsyncIterator[tuple[str, list[list[str]]]]:
    asked: list[list[str]] = []

    async def chat(request: Request) -> Response:
        body = json.loads(await request.body())
        roles = [message["role"] for message in body["messages"]]
        asked.append([*roles, body["messages"][0]["content"]])
        if "system" in roles:
            return refusal(400, "System role not supported")
        words = body["messages"][-1]["content"]
        return next((answer for word, (answer, _) in ANSWERS.items() if f"begonia {word}" in words), stream(CHUNK))

    async def models(_: Request) -> Response:
        return JSONResponse({"data": [{"id": "odd-1b"}, {}]})

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)]
    with listen("127.0.0.1", 0) as listener:
        async with serving(Starlette(routes=routes), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/", asked


async def test_every_prompt_ends_in_a_text_or_in_a_sentence_that_fits(bot: BotProcess, scene: Scene) -> None:
    async with odd_engine() as (url, asked):
        await bot.start(ENGINE_URL=url, BEST_OF="1")
        answers = []
        for word in ANSWERS:
            person, chat = scene.person(word.title())
            said = bot.sandbox.world.say(person, chat, f"/slogan my begonia {word}")
            answers.append(scene.answer(said, lambda message, word=word: ANSWERS[word][1] in message.text, seconds=120))
        await asyncio.gather(*answers)
        async with httpx.AsyncClient() as http:
            engine = (await http.get(f"{health_address(bot)}/ready")).json()["checks"]["engine"]
        await bot.settled()
    assert {roles[0] for roles in asked if "Be brief." not in roles} == {"user"}
    assert "engine" in engine["says"].lower(), "whatever the last answer was, but for a good one"
    for told in ("a page for people", "set ENGINE_KEY", "It says: CUDA died", "It says: min_q: extra inputs"):
        assert bot.log.count(told) >= 1, told
    assert bot.log.count("a page for people") == 1, "once in a while"
    assert "begonia" not in bot.log and "Traceback" not in bot.log
