"""Several texts for one request: those of their seeds, from one reading of the prompt; spare ones cost nobody time."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from engine.api.client import EngineClient
from engine.api.types import Message, Reply, Sampling, WrittenText, seed_of
from engine.errors import ModelError
from engine.inference.batch import NOT_FINITE, Batch
from engine.inference.engine import Engine, TextStream
from engine.models.loader import Base
from tests.support.learning.rated import served

ASK = [Message("user", "Write a poem on tea")]
DRAWN = Sampling(max_tokens=12, temperature=1.0, seed=5, ignore_eos=True)
LONG = replace(DRAWN, max_tokens=100)


def ask(engine: Engine, sampling: Sampling = DRAWN, *, n: int = 1, spare: float | None = None) -> TextStream:
    return engine.submit(ASK, sampling, model="tiny", n=n, spare_seconds=spare)


async def alone(base: Base, sampling: Sampling, count: int) -> list[str]:
    """The texts of the same seeds, one at a time."""
    async with Engine(base) as engine:
        seeds = [seed_of(sampling.seed, number) for number in range(count)]
        return [(await ask(engine, replace(sampling, seed=seed)).whole())[0].text for seed in seeds]


def prompts_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows joined a batch at one time, from now on."""
    joined, join = [], Batch.join

    def count(self: Batch[Any], newcomers: Any) -> list[int]:
        joined.append(len(newcomers))
        return join(self, newcomers)

    monkeypatch.setattr(Batch, "join", count)
    return joined


def test_the_first_text_has_the_requests_seed_and_the_others_their_own() -> None:
    assert seed_of(7, 0) == 7
    assert len({seed_of(seed, number) for seed in range(20) for number in range(16)}) == 20 * 16
    assert seed_of(None, 3) is None


async def test_n_texts_are_those_of_their_seeds_and_read_their_prompt_together(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await alone(tiny_base, DRAWN, 5)
    joined = prompts_read(monkeypatch)
    async with Engine(tiny_base) as engine:
        stream = ask(engine, n=5)
        texts = await stream.whole()
    assert texts == [WrittenText(text, "length", 12) for text in expected]
    assert len(set(expected)) == 5 and joined == [5]
    assert stream.completion_tokens == 5 * 12


async def test_n_is_exact_however_few_rows_there_are(tiny_base: Base) -> None:
    expected = await alone(tiny_base, DRAWN, 5)
    async with Engine(tiny_base, max_batch=2) as engine:
        many, one = ask(engine, n=5), ask(engine)
        assert [text.text for text in await many.whole()] == expected
        assert [text.text for text in await one.whole()] == expected[:1]


async def test_the_first_text_is_shown_as_it_grows_and_each_spare_one_in_one_piece(
    tiny_base: Base, at_any_cost: None
) -> None:
    async with Engine(tiny_base) as engine:
        pieces = [piece async for piece in ask(engine, n=4, spare=60.0).pieces()]
    numbers = [piece.number for piece in pieces]
    assert numbers.count(0) > 3 and {number: numbers.count(number) for number in (1, 2, 3)} == {1: 1, 2: 1, 3: 1}
    assert [piece.finish_reason for piece in pieces if piece.number] == ["length"] * 3


async def test_spare_texts_are_begun_while_nobody_waits_and_given_up_when_somebody_does(
    tiny_base: Base, at_any_cost: None
) -> None:
    (whole,) = await alone(tiny_base, LONG, 1)
    async with Engine(tiny_base, max_batch=4) as engine:
        many = ask(engine, LONG, n=4, spare=60.0)
        await many.started.wait()
        others = [ask(engine, replace(DRAWN, seed=seed)) for seed in (1, 2)]
        assert [text for other in others for text in await other.whole()] != []
        texts = await many.whole()
    assert texts[0].text == whole and len(texts) == 2, "two rows were needed"
    async with Engine(tiny_base, max_batch=2) as engine:
        crowd = [ask(engine, replace(LONG, seed=seed), n=4, spare=60.0) for seed in range(3)]
        counts = [len(await each.whole()) for each in crowd]
    assert sum(counts) <= 4, "somebody waited while two of them were written"


async def test_without_time_for_them_there_are_no_spare_texts(tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.inference.scheduler.LatencyModel.allows", lambda *_, **__: False)
    async with Engine(tiny_base) as engine:
        assert len(await ask(engine, n=8, spare=1.0).whole()) == 1
        assert len(await ask(engine, n=3).whole()) == 3, "exact, whatever it takes"


async def test_greedy_texts_are_all_the_same_and_never_spare(tiny_base: Base, at_any_cost: None) -> None:
    greedy = replace(DRAWN, temperature=0.0)
    async with Engine(tiny_base) as engine:
        assert len(await ask(engine, greedy, n=4, spare=60.0).whole()) == 1
        assert len({text.text for text in await ask(engine, greedy, n=2).whole()}) == 1


async def test_a_cancelled_request_takes_all_its_texts_with_it(tiny_base: Base, at_any_cost: None) -> None:
    async with Engine(tiny_base, max_batch=4) as engine:
        for stream in (ask(engine, LONG, n=4, spare=60.0), ask(engine, LONG, n=6)):
            await stream.started.wait()
            stream.cancel()
            assert await stream.whole() == []
            assert stream.finish_reason == "cancelled"
        await ask(engine).whole()
        assert (engine.running, engine.waiting, engine.scheduler.kv_reserved) == (0, 0, 0)


@pytest.mark.parametrize(("broken", "spare"), [(0, 60.0), (2, 60.0), (2, None)])
async def test_a_spare_text_that_fails_is_missing_and_any_other_fails_the_request(
    tiny_base: Base, at_any_cost: None, monkeypatch: pytest.MonkeyPatch, broken: int, spare: float | None
) -> None:
    step = Batch.step

    def fail(self: Batch[Any]) -> list[int]:
        drawn = step(self)
        return [NOT_FINITE if row.number == broken else token for row, token in zip(self.rows, drawn, strict=True)]

    monkeypatch.setattr(Batch, "step", fail)
    async with Engine(tiny_base) as engine:
        stream = ask(engine, n=3, spare=spare)
        if broken and spare is not None:
            assert len(await stream.whole()) == 2
        else:
            with pytest.raises(ModelError, match="not numbers"):
                await stream.whole()


@pytest.mark.parametrize("spare", [60.0, None])
async def test_when_memory_runs_out_exact_texts_go_on_later_and_spare_ones_are_given_up(
    tiny_base: Base, at_any_cost: None, monkeypatch: pytest.MonkeyPatch, spare: float | None
) -> None:
    expected, step, calls = await alone(tiny_base, DRAWN, 4), Batch.step, []

    def run_out_once(self: Batch[Any]) -> list[int]:
        calls.append(len(self.rows))
        if len(calls) == 3:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(Batch, "step", run_out_once)
    async with Engine(tiny_base) as engine:
        texts = [text.text for text in await ask(engine, n=4, spare=spare).whole()]
    assert calls[0] == 4
    assert texts == (expected if spare is None else expected[:1])


async def test_over_http_choices_are_told_apart_and_have_their_ends(tiny_base: Base) -> None:
    asked = {
        "model": "tiny", "messages": [{"role": "user", "content": "Write a poem on tea"}], "max_tokens": 6,
        "ignore_eos": True, "seed": 5, "n": 3, "stream_options": {"include_usage": True},
    }  # fmt: skip
    async with served(Engine(tiny_base)) as http:
        whole = (await http.post("/v1/chat/completions", json=asked)).json()
        stream = await http.post("/v1/chat/completions", json=asked | {"stream": True})
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] == 18 and [each["tokens"] for each in whole["choices"]] == [6, 6, 6]
    events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in event["choices"]]
    for index, said in enumerate(whole["choices"]):
        own = [choice for choice in choices if choice["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in own) == said["message"]["content"]
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + ["length"]
    assert events[-1]["usage"] == whole["usage"]


async def test_our_client_is_told_the_logprobs_of_every_text_spare_ones_too(tiny_base: Base, at_any_cost: None) -> None:
    async with served(Engine(tiny_base)) as http:
        client = EngineClient("http://engine", http=http)
        await client.models()
        *_, reply = [each async for each in client.stream(ASK, DRAWN, model="tiny", n=3, spare_seconds=60.0)]
    assert isinstance(reply, Reply) and len(reply.texts) == 3
    for text in reply.texts:
        assert len(text.logprobs) == text.tokens == 12
        assert all(each.logprob < 0.0 for each in text.logprobs)


@pytest.mark.parametrize(
    ("fields", "word"), [({"n": 0}, "n"), ({"n": 17}, "n"), ({"n": "4"}, "n"), ({"spare_seconds": -1}, "spare_seconds")]
)
async def test_a_wish_out_of_range_is_a_400_that_names_it(
    tiny_base: Base, fields: dict[str, object], word: str
) -> None:
    async with served(Engine(tiny_base)) as http:
        asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2} | fields
        answer = await http.post("/v1/chat/completions", json=asked)
        assert answer.status_code == 400
        assert word in answer.json()["error"]["message"]


async def test_requests_for_several_texts_are_served_side_by_side(tiny_base: Base, at_any_cost: None) -> None:
    async with Engine(tiny_base, max_batch=16) as engine:
        asked = [ask(engine, replace(DRAWN, seed=seed), n=3, spare=60.0) for seed in range(8)]
        texts = await asyncio.gather(*(each.whole() for each in asked))
    assert all(texts)
