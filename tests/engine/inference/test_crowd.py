"""Many people, little memory, impatient callers; with the model that ships."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import torch

from engine.api.client import EngineClient
from engine.api.types import Message, Sampling
from engine.errors import DeadlineExceeded, EngineBusy, EngineUnavailable, RequestError
from engine.inference.engine import Engine, TextStream
from engine.models.loader import Base, load_base
from engine.server import app
from engine.server.app import build_app

ASK = [Message("user", "Write a slogan on green tea")]
GREEDY = Sampling(max_tokens=16, temperature=0.0, ignore_eos=True)
DRAWN = Sampling(
    max_tokens=40, temperature=0.9, top_p=0.95, repetition_penalty=1.1, frequency_penalty=0.2, dry_multiplier=0.8,
    ignore_eos=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def starter() -> Base:
    torch.set_num_threads(1)
    return load_base("starter")


@pytest.fixture
def failing(starter: Base) -> Iterator[Callable[[Callable[[int, int], bool]], None]]:
    """Let the forward passes run out of memory of which the function (number of the pass, rows) says so."""
    hooks = []

    def install(runs_out: Callable[[int, int], bool]) -> None:
        numbers = itertools.count()

        def forward(_: object, __: object, options: dict[str, torch.Tensor]) -> None:
            if runs_out(next(numbers), len(options["input_ids"])):
                torch.empty(2**60, dtype=torch.uint8)  # more than there is: torch's own error

        hooks.append(starter.model.register_forward_pre_hook(forward, with_kwargs=True))

    yield install
    for hook in hooks:
        hook.remove()


async def text_of(generation: TextStream) -> str:
    return "".join([piece.text async for piece in generation.pieces()])


def ask(engine: Engine, sampling: Sampling = GREEDY, **more: object) -> TextStream:
    return engine.submit(ASK, sampling, model="starter", **more)  # type: ignore[arg-type]


# Fairness


async def test_one_who_asks_sixty_times_holds_up_nobody_and_gets_it_all(starter: Base) -> None:
    async with Engine(starter, max_batch=4) as engine:
        finished: list[str] = []

        async def follow(generation: TextStream, name: str) -> None:
            await text_of(generation)
            finished.append(name)

        heavy = [follow(ask(engine, user="heavy"), "heavy") for _ in range(60)]
        others = [follow(ask(engine, user=name), name) for name in "abcde"]
        await asyncio.gather(*heavy, *others)
    assert {*"abcde"} <= set(finished[: 3 * 4]), "of the first three batches, each of the others gets a row"
    assert finished.count("heavy") == 60


async def test_a_full_queue_refuses_the_heavy_one_first(starter: Base) -> None:
    async with Engine(starter, max_batch=2, max_queue=18) as engine:
        accepted = []
        with pytest.raises(EngineBusy, match="10 of them for the same user") as refusal:
            while True:
                accepted.append(ask(engine, user="heavy"))
        assert len(accepted) == 10, "half of the places"
        assert refusal.value.retry_after_seconds >= 1
        accepted += [ask(engine, user=f"newcomer {number}") for number in range(9)]
        with pytest.raises(EngineBusy):
            ask(engine, user="heavy")
        accepted.append(ask(engine))
        with pytest.raises(EngineBusy, match="20 requests are waiting"):
            ask(engine)
        assert len(set(await asyncio.gather(*map(text_of, accepted)))) == 1
        assert await text_of(ask(engine, user="heavy"))


async def test_the_number_ahead_counts_turns(starter: Base) -> None:
    async with Engine(starter, max_batch=1) as engine:
        heavy = [ask(engine, user="heavy") for _ in range(5)]
        other = ask(engine, user="other")
        assert [engine.ahead_of(generation) for generation in (*heavy, other)] == [0, 2, 3, 4, 5, 1]
        await asyncio.gather(*map(text_of, (*heavy, other)))
        assert engine.ahead_of(other) == 0


# Memory


async def test_keys_and_values_stay_within_the_limit_and_everybody_is_served(
    starter: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    engine = Engine(starter, kv_tokens=200)
    run_round = engine.scheduler.run_round

    def observed() -> object:
        progress = run_round()
        batches = engine.scheduler._batches.values()
        held.append(sum(batch._cache.width * len(batch.rows) for batch in batches))
        assert held[-1] <= engine.scheduler.kv_reserved <= 200
        return progress

    monkeypatch.setattr(engine.scheduler, "run_round", observed)
    async with engine:
        lengths = [8 + 5 * number for number in range(20)]
        generations = [ask(engine, replace(GREEDY, max_tokens=length)) for length in lengths]
        await asyncio.gather(*map(text_of, generations))
        assert [generation.completion_tokens for generation in generations] == lengths
        assert max(held) > 100
        assert engine.scheduler.kv_reserved == 0


async def test_what_alone_is_larger_than_the_memory_is_refused_in_a_sentence(starter: Base) -> None:
    async with Engine(starter, kv_tokens=50) as engine:
        with pytest.raises(RequestError, match="50 tokens at most; shorten") as refusal:
            ask(engine, replace(GREEDY, max_tokens=64))
        assert refusal.value.status == 400
        filling = engine.submit(ASK, GREEDY, model="starter", fills_context=True)
        await text_of(filling)
        assert filling.prompt_tokens + filling.completion_tokens <= 50


@pytest.mark.parametrize("sampling", [replace(GREEDY, max_tokens=40), DRAWN])
async def test_texts_go_on_as_if_nothing_had_happened_when_memory_runs_out(
    starter: Base, failing: Callable[..., None], sampling: Sampling
) -> None:
    asked = [replace(sampling, seed=number, max_tokens=20 + 3 * number) for number in range(8)]
    async with Engine(starter) as engine:
        undisturbed = await asyncio.gather(*(text_of(ask(engine, each)) for each in asked))
    failing(lambda number, rows: rows > 3 and (rows > 5 or number % 7 == 0))
    async with Engine(starter, max_batch=8) as engine:
        generations = [ask(engine, each) for each in asked]
        assert await asyncio.gather(*map(text_of, generations)) == undisturbed
        assert [each.max_tokens for each in asked] == [generation.completion_tokens for generation in generations]
        assert 1 <= engine.scheduler.row_limit < 8


async def test_an_answer_ends_only_if_memory_runs_out_for_it_alone(starter: Base, failing: Callable[..., None]) -> None:
    failing(lambda _number, _rows: True)
    async with Engine(starter, max_batch=4) as engine:
        for generation in [ask(engine) for _ in range(4)]:
            with pytest.raises(EngineUnavailable, match="could not compute"):
                await text_of(generation)
        assert engine.scheduler.kv_reserved == 0


async def test_the_limit_of_rows_recovers(
    starter: Base, failing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.inference.scheduler._RECOVERY_ROUNDS", 16)
    failing(lambda number, _rows: number == 3)
    async with Engine(starter, max_batch=8) as engine:
        await asyncio.gather(*(text_of(ask(engine)) for _ in range(8)))
        assert engine.scheduler.row_limit < 8
        await text_of(ask(engine, replace(GREEDY, max_tokens=160)))
        assert engine.scheduler.row_limit == 8


# Deadlines


async def test_a_deadline_ends_an_answer_wherever_it_stands_and_frees_its_row(starter: Base) -> None:
    async with Engine(starter, max_batch=1) as engine:
        running = ask(engine, replace(GREEDY, max_tokens=200), timeout_seconds=0.05)
        waiting = ask(engine, timeout_seconds=0.01)
        for generation in (waiting, running):
            with pytest.raises(DeadlineExceeded, match="allow more time"):
                await text_of(generation)
        assert await text_of(ask(engine, timeout_seconds=600.0))
        assert engine.running == engine.waiting == 0


# Over HTTP


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60) as http:
        yield http


def body(**more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "Write a slogan on green tea"}]
    return {"model": "starter", "messages": messages, "max_tokens": 16, "ignore_eos": True} | more


async def test_the_heavy_user_gets_429_with_retry_after_and_a_newcomer_does_not(starter: Base) -> None:
    async with served(Engine(starter, max_batch=1, max_queue=3)) as http:
        fields = ("user", "safety_identifier", "user", "user", "safety_identifier")
        asking = [http.post("/v1/chat/completions", json=body(**{field: "heavy"})) for field in fields]
        *heavy, newcomer = await asyncio.gather(*asking, http.post("/v1/chat/completions", json=body(user="newcomer")))
        assert newcomer.status_code == 200
        refused = [answer for answer in heavy if answer.status_code == 429]
        assert len(refused) >= 2
        for answer in refused:
            seconds = answer.headers["Retry-After"]
            assert int(seconds) >= 1
            assert f"try again in {seconds} s" in answer.json()["error"]["message"]
        figures = (await http.get("/metrics")).text
        assert f"ovation_engine_rejected_total {len(refused):.1f}" in figures
        assert "ovation_engine_kv_tokens_reserved 0.0" in figures
        assert "ovation_engine_kv_tokens_limit " in figures


@pytest.mark.parametrize("fields", [{"user": 5}, {"user": "x" * 300}, {"safety_identifier": ["x"]}])
async def test_a_user_that_is_no_short_string_is_a_400(starter: Base, fields: dict[str, object]) -> None:
    async with served(Engine(starter)) as http:
        answer = await http.post("/v1/chat/completions", json=body(**fields))
        assert answer.status_code == 400
        assert next(iter(fields)) in answer.json()["error"]["message"]


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf", "1e9"])
async def test_a_deadline_that_is_no_number_of_seconds_is_a_400(starter: Base, value: str) -> None:
    async with served(Engine(starter)) as http:
        answer = await http.post("/v1/chat/completions", json=body(), headers={"X-Server-Timeout": value})
        assert answer.status_code == 400
        assert "X-Server-Timeout" in answer.json()["error"]["message"]


async def test_a_deadline_is_a_504_or_the_last_event_and_openais_client_does_not_ask_again(starter: Base) -> None:
    late = {"X-Server-Timeout": "0.05"}
    async with served(Engine(starter)) as http:
        long = body(max_tokens=200)
        answer = await http.post("/v1/chat/completions", json=long, headers=late)
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout_error")
        assert answer.headers["X-Should-Retry"] == "false"
        streamed = await http.post("/v1/chat/completions", json=long | {"stream": True}, headers=late)
        assert streamed.status_code == 200
        assert json.loads(streamed.text.strip().rsplit("data: ", 1)[1])["error"]["type"] == "timeout_error"
        whole = await http.post("/v1/chat/completions", json=body(), headers={"X-Server-Timeout": "60"})
        assert whole.status_code == 200


async def test_a_stream_that_waits_hears_how_many_are_before_it(starter: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "QUEUE_UPDATE_SECONDS", 0.01)
    monkeypatch.setattr(app, "QUEUE_UPDATES_PER_SECOND", 10_000)
    heard: list[int] = []
    async with served(Engine(starter, max_batch=1)) as http:
        client = EngineClient("http://engine", http=http)

        async def stream(user: str, on_queued: Callable[[int], None]) -> str:
            pieces = client.stream(ASK, GREEDY, model="starter", user=user, on_queued=on_queued)
            return str([piece async for piece in pieces][-1].text)  # type: ignore[union-attr]

        before = [asyncio.create_task(stream(f"before {number}", lambda _: None)) for number in range(6)]
        await asyncio.sleep(0)
        last = await stream("last", heard.append)
        assert {last} == set(await asyncio.gather(*before))
    assert heard == sorted(heard, reverse=True)
    assert len(set(heard)) > 1
