"""The engine learns a taste while it writes, and the client tells it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import torch

from engine.api.client import EngineClient
from engine.api.types import Message, PersonalRating, RatedText, Reply, Sampling, Selection, TasteFit, seed_of
from engine.errors import EngineUnavailable, NoTaste, RequestError
from engine.inference.best_of import FeatureReader, FeatureRequest
from engine.inference.engine import Engine
from engine.models.loader import Base, load_base
from tests.engine.conftest import Server
from tests.support.learning.rated import (
    DRAWN,
    HOUSE,
    ask,
    likes_long,
    likes_short,
    prompt,
    rate,
    served,
    text_of,
    write,
)


@pytest.fixture(scope="module")
def starter() -> Base:
    torch.set_num_threads(1)
    return load_base("starter")


@pytest.fixture(scope="module")
async def texts(starter: Base) -> list[str]:
    async with Engine(starter) as engine:
        return await write(engine, 64)


@pytest.fixture
async def engine(starter: Base) -> AsyncIterator[Engine]:
    async with Engine(starter) as engine:
        yield engine


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts the model was given to read, each time."""
    counts: list[int] = []
    add = FeatureReader.add

    def counted(readings: FeatureReader, reading: FeatureRequest) -> None:
        counts.append(len(reading.rows))
        add(readings, reading)

    monkeypatch.setattr(FeatureReader, "add", counted)
    return counts


async def test_streams_go_on_during_a_fit(engine: Engine, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    slices, read = 0, FeatureReader.read

    def counted(readings: FeatureReader) -> FeatureRequest | None:
        nonlocal slices
        slices += 1
        return read(readings)

    await engine.preferences.fit("other", rate(texts[:8], likes_long), {})  # what is imported once is imported
    stream = ask(engine, 0, Sampling(max_tokens=400, ignore_eos=True))
    pieces = stream.deltas()
    await anext(pieces)
    monkeypatch.setattr(FeatureReader, "read", counted)
    fitting = asyncio.create_task(engine.preferences.fit("house", rate(texts, likes_long), {}))
    during = 0
    while not fitting.done():
        await anext(pieces)
        during += 1
    assert during >= 1
    assert slices >= 4, "a little is read in every round, and every round writes a token of the stream"
    assert (await fitting).texts == len(texts)
    await pieces.aclose()
    stream.cancel()


async def test_a_refit_reads_what_is_new(engine: Engine, texts: list[str], read: list[int]) -> None:
    rated = rate(texts, likes_long)
    distinct = len({(text.messages, text.text) for text in rated[:40]})
    await engine.preferences.fit("house", rated[:40], {})
    await engine.preferences.fit("house", rated[:40], {})
    await engine.preferences.fit("house", [*rated[:40], RatedText(prompt(0), "Quite new.", 1.0, 0.5)], {})
    assert read == [distinct, 1]
    assert engine.preferences.fits == 3


@pytest.mark.usefixtures("at_any_cost")
async def test_a_chosen_text_need_not_be_read_again(engine: Engine, texts: list[str], read: list[int]) -> None:
    rated = rate(texts[:40], likes_long)
    await engine.preferences.fit("house", rated, {})
    group = ask(engine, 3, replace(DRAWN, seed=99), HOUSE)
    chosen = await text_of(group)
    await engine.preferences.fit("house", [*rated, RatedText(prompt(3), chosen, 1.0, 0.3)], {})
    assert read[1:] == [group.best_of] == [6]


@pytest.mark.usefixtures("at_any_cost", "nothing_is_shown")
async def test_a_taste_is_replaced_at_once_and_a_refused_one_changes_nothing(engine: Engine, texts: list[str]) -> None:

    async def chosen() -> list[str]:
        asked = [ask(engine, 1, replace(DRAWN, seed=seed), HOUSE) for seed in range(4)]
        return [await text_of(generation) for generation in asked]

    await engine.preferences.fit("house", rate(texts, likes_long), {})
    before = await chosen()
    with pytest.raises(RequestError, match="all of one side"):
        await engine.preferences.fit("house", rate(texts, lambda _: True), {})
    assert await chosen() == before
    fitting = asyncio.create_task(engine.preferences.fit("house", rate(texts, likes_short), {}))
    meanwhile = []
    while not fitting.done():
        meanwhile.append(await chosen())
    after = await chosen()
    assert sum(map(len, after)) < sum(map(len, before))
    for old, new, *seen in zip(before, after, *meanwhile, strict=True):
        assert set(seen) <= {old, new}


@pytest.mark.usefixtures("at_any_cost", "nothing_is_shown")
async def test_each_person_is_served_by_their_own_taste(engine: Engine, texts: list[str]) -> None:
    rated = [replace(text, value=text.value if number % 4 else -text.value) for number, text in enumerate(
        rate(texts, likes_long)
    )]  # fmt: skip
    people = {
        name: [PersonalRating(number, 1.0 if likes(text) else -1.0) for number, text in enumerate(texts)]
        for name, likes in (("long", likes_long), ("short", likes_short))
    } | {"few": [PersonalRating(number, 1.0) for number in range(5)]}
    fitted = await engine.preferences.fit("house", rated, people)
    assert fitted.people == 2, "five ratings are too few"

    async def lengths(person: str | None) -> int:
        wish = replace(HOUSE, person=person)
        return sum([len(await text_of(ask(engine, seed, replace(DRAWN, seed=seed), wish))) for seed in range(4)])

    assert await lengths("short") < await lengths("long")
    assert await lengths("few") == await lengths("stranger") == await lengths(None)


async def test_how_well_ratings_predict_each_other_is_told_where_it_can_be(engine: Engine, texts: list[str]) -> None:
    few = await engine.preferences.fit(
        "house", rate(sorted(texts, key=len)[:3] + sorted(texts, key=len)[-3:], likes_long), {}
    )
    assert few.auroc is None
    many = await engine.preferences.fit("house", rate(texts, likes_long), {})
    assert many.auroc is not None and many.auroc > 0.7
    assert many.seconds > 0.0


async def test_a_long_text_is_cut_to_the_context(engine: Engine, texts: list[str]) -> None:
    rated = [*rate(texts[:8], likes_long), RatedText((Message("user", "tea " * 3000),), "long " * 3000, -1.0, 0.3)]
    assert (await engine.preferences.fit("house", rated, {})).texts == 9


async def test_a_fit_that_the_engine_does_not_survive_is_told(starter: Base, texts: list[str]) -> None:
    async with Engine(starter) as engine:
        await engine.preferences.fit("house", rate(texts[:8], likes_long), {})
        fitting = asyncio.create_task(engine.preferences.fit("house", rate(texts, likes_long), {}))
        while not engine.scheduler.reader:
            await asyncio.sleep(0)
    with pytest.raises(EngineUnavailable, match="stopped"):
        await fitting


def message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def told(count: int = 6, **changed: object) -> list[dict[str, Any]]:
    return [
        {"messages": [message("tea")], "text": f"text {number}", "value": (-1.0) ** number, "weight": 0.3} | changed
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "house", "texts": told(3)}, "needs 4"),
        ({"name": "house", "texts": told(weight=0.0)}, "needs 4"),
        ({"name": "house", "texts": told(value=0.5)}, "one side"),
        ({"name": "house", "texts": told(value=-1.0)}, "one side"),
        ({"name": "house", "texts": told(value=2.0)}, "texts.0.value"),
        ({"name": "house", "texts": told(weight=-1.0)}, "texts.0.weight"),
        ({"name": "house", "texts": told(messages=[])}, "texts.0.messages"),
        ({"name": "house", "texts": told(text=5)}, "texts.0.text"),
        ({"name": "", "texts": told()}, "name"),
        ({"texts": told()}, "name"),
        ({"name": "house"}, "texts"),
        ({"name": "house", "texts": told(), "people": {"ann": [{"text": 6, "value": 1.0}]}}, "not there"),
        ({"name": "house", "texts": told(), "people": {"ann": [{"text": 0, "value": 9.0}]}}, "people.ann.0.value"),
        ({"name": "house", "texts": [], "people": {"ann": [{"text": 0, "value": 1.0}]}}, "not there"),
    ],
)
async def test_ratings_that_teach_nothing_are_a_400_with_a_sentence(
    starter: Base, body: dict[str, Any], words: str
) -> None:
    async with served(Engine(starter)) as http:
        answer = await http.post("/v1/taste", json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert words in error["message"]


async def test_a_taste_that_is_removed_is_known_no_more(starter: Base) -> None:
    engine = Engine(starter)
    async with served(engine) as http:
        assert (await http.post("/v1/taste", json={"name": "house", "texts": told()})).json()["texts"] == 6
        assert "house" in engine.preferences
        answer = await http.post("/v1/taste", json={"name": "house", "texts": []})
        assert (answer.status_code, answer.json()["texts"], answer.json()["auroc"]) == (200, 0, None)
        assert "house" not in engine.preferences


# The client


async def test_the_client_teaches_a_real_server_and_gets_the_best_of_its_texts(server: Server) -> None:
    drawn = Sampling(max_tokens=12, temperature=1.0, seed=5, ignore_eos=True)
    messages = [Message("user", "Write a poem on tea")]
    async with httpx.AsyncClient() as http:
        client = EngineClient(server.url, http=http)
        rated = [
            RatedText(tuple(messages), (await client.complete(messages, replace(drawn, seed=seed), model="tiny")).text,
                      (-1.0) ** seed, 0.3)
            for seed in range(12)
        ]  # fmt: skip
        people = {"ann": [PersonalRating(number, -text.value) for number, text in enumerate(rated)]}
        fitted = await client.fit_taste("house", rated, people)
        assert isinstance(fitted, TasteFit)
        assert (fitted.texts, fitted.people) == (12, 1)
        asked = client.stream(
            messages, drawn, model="tiny", selection=Selection(best_of=4, taste="house", person="ann", explore=0.5)
        )
        *pieces, reply = [piece async for piece in asked]
        assert isinstance(reply, Reply)
        assert 1 <= reply.best_of <= 4
        assert reply.completion_tokens >= 12 * reply.best_of
        assert "".join(map(str, pieces)) == reply.text
        seeds = [seed_of(5, place) for place in range(4)]
        siblings = [(await client.complete(messages, replace(drawn, seed=seed), model="tiny")).text for seed in seeds]
        assert reply.text in siblings
        with pytest.raises(RequestError, match="one side") as refusal:
            await client.fit_taste("house", [replace(text, value=1.0) for text in rated], {})
        assert not isinstance(refusal.value, NoTaste)
        assert (await client.fit_taste("house", [], {})).texts == 0
        *_, reply = [
            piece async for piece in client.stream(messages, drawn, model="tiny", selection=replace(HOUSE, best_of=4))
        ]
        assert isinstance(reply, Reply) and reply.best_of == 1


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_of_another_make_has_no_taste(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"detail": "Not Found"}))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(NoTaste, match="learns no taste"):
            await EngineClient("http://elsewhere", http=http).fit_taste("house", [], {})


async def test_what_is_no_answer_to_a_fit_is_unavailable() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "ok"}))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(EngineUnavailable, match="cannot be read"):
            await EngineClient("http://elsewhere", http=http).fit_taste("house", [], {})


@pytest.mark.parametrize("unknown", ["best_of", "taste", "taste_user"])
async def test_a_strict_server_is_asked_without_a_choice_from_then_on(unknown: str) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        if unknown in asked[-1]:
            return httpx.Response(400, json={"error": {"message": f"Unknown parameter: '{unknown}'."}})
        event = {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}
        text = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = EngineClient("http://elsewhere", http=http)
        for _ in range(2):
            wish = client.stream(
                [Message("user", "hi")], DRAWN, model="m", selection=Selection(best_of=4, taste="house", person="ann")
            )
            *_, reply = [piece async for piece in wish]
            assert isinstance(reply, Reply) and reply.best_of == 1
        [_ async for _ in client.stream([Message("user", "hi")], DRAWN, model="m", selection=Selection(taste="house"))]
    fields = {"best_of", "taste", "taste_user", "explore"}
    assert [sorted(fields & body.keys()) for body in asked] == [["best_of", "taste", "taste_user"], [], [], []]


def test_a_choice_is_nothing_by_default() -> None:
    assert Selection() == Selection(best_of=1, taste=None, person=None, explore=0.0)
