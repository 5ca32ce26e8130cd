"""Several texts from servers of any make: by `n`, or by as many requests where a server knows nothing of it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing

import httpx
import pytest

from engine.api.client import MOST_SIDE_BY_SIDE, EngineClient
from engine.api.protocol import Completion
from engine.api.reading import PartialReply
from engine.api.types import Message, Reply, Sampling, TokenLogprob, WrittenText
from engine.errors import EngineUnavailable
from tests.support.fake_engine import FakeEngine

ASK = [Message("user", "tea")]
DRAWN = Sampling(max_tokens=20, seed=3)


@pytest.fixture
async def client(fake_engine: FakeEngine) -> Iterator[EngineClient]:
    async with httpx.AsyncClient() as http:
        yield EngineClient(fake_engine.url, http=http)


async def ask(
    client: EngineClient, n: int, *, sampling: Sampling = DRAWN, spare: float | None = 30.0
) -> tuple[str, Reply]:
    """The pieces together, and the reply."""
    *pieces, reply = [piece async for piece in client.stream(ASK, sampling, model="starter", n=n, spare_seconds=spare)]
    assert isinstance(reply, Reply)
    return "".join(map(str, pieces)), reply


async def test_a_server_that_writes_n_texts_is_asked_once_and_its_choices_are_told_apart(
    client: EngineClient, fake_engine: FakeEngine
) -> None:
    fake_engine.severals, fake_engine.tokens = "written", 3
    fake_engine.writes = lambda body, _: f"text {body['index']} on tea" if body["index"] else "first text"
    shown, reply = await ask(client, 3)
    assert shown == "first text"
    assert [(text.text, text.finish_reason) for text in reply.texts] == [
        ("first text", "stop"), ("text 1 on", "length"), ("text 2 on", "length"),
    ]  # fmt: skip
    assert reply.completion_tokens == 8
    (body,) = fake_engine.asked
    assert body["n"] == 3 and "spare_seconds" not in body, "a field that only our own engine has"
    assert "logprobs" not in body, "others differ in what they tell"


async def test_our_own_engine_may_write_fewer_and_is_asked_for_as_many_the_next_time(
    client: EngineClient, fake_engine: FakeEngine
) -> None:
    await client.models()
    for _ in range(2):
        _, reply = await ask(client, 4)
        assert len(reply.texts) == 1
    assert [(body["n"], body["spare_seconds"], body["logprobs"]) for body in fake_engine.asked] == [(4, 30.0, True)] * 2
    await ask(client, 1)
    assert "logprobs" not in fake_engine.asked[-1], "there is nothing to compare"


def test_logprobs_are_kept_with_the_text_that_they_are_of() -> None:
    told = {0: [TokenLogprob("Warm", -1.5), TokenLogprob(" tea", -0.25)], 1: [TokenLogprob("Milk", -3.0)]}
    completion, answer = Completion("starter"), PartialReply("starter")
    chunks = [
        completion.chunk(index=index, logprobs=[each], content=each.token) for index in told for each in told[index]
    ]
    chunks += [completion.chunk("stop", index=index, tokens=3) for index in told]
    for chunk in chunks:
        answer.take(json.loads(chunk.removeprefix(b"data: ")))
    assert [(text.text, list(text.logprobs)) for text in answer.reply().texts] == [
        ("Warm tea", told[0]), ("Milk", told[1]),
    ]  # fmt: skip


@pytest.mark.parametrize("odd", [None, [], 7, {"content": 7}, {"content": [7]}, *(
    {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": value}]}
    for value in (None, "-1", 0.5, float("nan"), float("-inf"))
)])  # fmt: skip
def test_logprobs_that_cannot_be_are_as_none(odd: object) -> None:
    answer = PartialReply("starter")
    answer.take({"choices": [{"index": 0, "delta": {"content": "ab"}, "logprobs": odd, "finish_reason": "stop"}]})
    assert answer.reply().texts == (WrittenText("ab", "stop"),)


@pytest.mark.parametrize("severals", ["ignored", "refused"])
async def test_a_server_that_knows_no_n_is_from_then_on_asked_side_by_side(
    client: EngineClient, fake_engine: FakeEngine, severals: str
) -> None:
    fake_engine.severals = severals  # type: ignore[assignment]
    _, reply = await ask(client, 4)
    assert len(reply.texts) == 1, "once, to find out"
    fake_engine.asked.clear()
    fake_engine.writes = lambda body, _: f"seed {body['seed']}"
    shown, reply = await ask(client, 4)
    assert len(fake_engine.asked) == 4 and not any("n" in body for body in fake_engine.asked)
    assert shown == reply.text == "seed 3", "the first has the request's seed"
    assert len({text.text for text in reply.texts}) == 4 and reply.completion_tokens == 8
    fake_engine.asked.clear()
    await ask(client, 16)
    assert len(fake_engine.asked) == MOST_SIDE_BY_SIDE


async def test_side_by_side_spare_texts_that_are_late_or_fail_are_missing(
    client: EngineClient, fake_engine: FakeEngine
) -> None:
    fake_engine.severals = "ignored"
    await ask(client, 2)

    def fail_others(body: dict[str, object], _: int) -> str:
        if body["seed"] != 3:
            raise RuntimeError
        return "the first"

    fake_engine.writes = fail_others
    _, reply = await ask(client, 4)
    assert [text.text for text in reply.texts] == ["the first"]


async def test_who_leaves_takes_all_requests_along(client: EngineClient, fake_engine: FakeEngine) -> None:
    fake_engine.severals = "ignored"
    await ask(client, 2)
    fake_engine.hold()
    before = asyncio.all_tasks()
    async with aclosing(client.stream(ASK, DRAWN, model="starter", n=4, spare_seconds=30.0)) as pieces:
        waiting = asyncio.ensure_future(anext(pieces))
        while len(fake_engine.asked) < 5:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert not {task for task in asyncio.all_tasks() - before if "_last_of" in repr(task.get_coro())}


async def test_without_the_first_there_is_no_answer(client: EngineClient, fake_engine: FakeEngine) -> None:
    fake_engine.severals = "ignored"
    await ask(client, 2)

    def fail_first(body: dict[str, object], _: int) -> str:
        if body["seed"] == 3:
            raise RuntimeError
        return "another"

    fake_engine.writes = fail_first
    with pytest.raises(EngineUnavailable):
        await ask(client, 4)


async def test_greedy_texts_are_asked_for_once(client: EngineClient, fake_engine: FakeEngine) -> None:
    _, reply = await ask(client, 4, sampling=Sampling(max_tokens=20, temperature=0.0))
    assert len(reply.texts) == 1 and "n" not in fake_engine.asked[0]
