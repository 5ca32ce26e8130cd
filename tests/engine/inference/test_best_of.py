"""Several texts for one answer, and the one that pleases most."""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.api.types import Message, RatedText, Sampling, Selection, seed_of
from engine.errors import DeadlineExceeded
from engine.inference.engine import Engine
from engine.models.loader import Base, load_base
from engine.models.logprobs import Encoded
from engine.preference.features import text_features
from engine.preference.personal import CLOSE_ENOUGH
from tests.support.learning.rated import DRAWN, HOUSE, ask, likes_long, prompt, rate, served, text_of, write

LONG = replace(DRAWN, max_tokens=200, ignore_eos=True)


@pytest.fixture(scope="module")
def starter() -> Base:
    torch.set_num_threads(1)
    return load_base("starter")


@pytest.fixture(scope="module")
async def rated(starter: Base) -> list[RatedText]:
    async with Engine(starter) as engine:
        return rate(await write(engine, 48), likes_long)


@asynccontextmanager
async def tasting(base: Base, rated: list[RatedText], **options: int) -> AsyncIterator[Engine]:
    async with Engine(base, **options) as engine:
        await engine.preferences.fit("house", rated, {})
        yield engine


@contextmanager
def at_rest(engine: Engine) -> Iterator[None]:
    """The engine begins nothing meanwhile, so that what is asked within arrives together."""
    go_on = threading.Event()
    engine._worker.call(lambda _: go_on.wait(60))
    try:
        yield
    finally:
        go_on.set()


async def siblings(engine: Engine, number: int, seed: int, count: int) -> list[str]:
    """The texts that a request for so many compares, asked for one by one."""
    seeds = [seed_of(seed, place) for place in range(count)]
    return [await text_of(ask(engine, number, replace(DRAWN, seed=each))) for each in seeds]


def scores(engine: Engine, base: Base, messages: Sequence[Message], texts: list[str]) -> list[float]:
    """The chances that the house likes them, computed here."""
    start = tuple(base.template.encode(messages))
    rows = [
        Encoded(start, (*base.tokenizer(text, add_special_tokens=False)["input_ids"], base.tokenizer.eos_token_id))
        for text in texts
    ]
    features = text_features(base, rows, max_tokens=10_000)
    return engine.preferences._models["house"].shared.logits(features).sigmoid().tolist()


@pytest.mark.usefixtures("at_any_cost")
async def test_the_best_of_the_siblings_is_chosen_and_they_are_those_of_their_seeds(
    starter: Base, rated: list[RatedText]
) -> None:
    places = []
    async with tasting(starter, rated) as engine:
        asked = [ask(engine, number, replace(DRAWN, seed=number), HOUSE) for number in range(3)]
        for number, generation in enumerate(asked):
            text = await text_of(generation)
            assert generation.best_of == 6
            texts = await siblings(engine, number, number, 6)
            liked = scores(engine, starter, prompt(number), texts)
            assert text in [t for t, chance in zip(texts, liked, strict=True) if chance >= max(liked) - CLOSE_ENOUGH]
            places.append(texts.index(text))
    assert any(places), "not always the first"


@pytest.mark.usefixtures("at_any_cost")
async def test_of_texts_that_please_equally_the_one_is_shown_that_was_not_shown_before(
    starter: Base, rated: list[RatedText], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.preference.personal.CLOSE_ENOUGH", 1.0)
    async with tasting(starter, rated) as engine:
        shown = [await text_of(ask(engine, 0, replace(DRAWN, seed=5), HOUSE)) for _ in range(6)]
        assert shown[0] != shown[1]
        assert len(set(shown)) > 3, "texts share pairs, and the shortest is soonest new again"


@pytest.mark.usefixtures("at_any_cost")
async def test_the_base_judges_what_a_version_writes(
    tiny_base: Base, tiny_model_folder: Path, versions_dir: Path
) -> None:
    drawn = Sampling(max_tokens=16, temperature=1.0, ignore_eos=True)
    asked = [Message("user", "tea")]
    async with Engine(tiny_base) as engine:
        await engine.load_adapter("first", versions_dir / "first")

        async def write_one(seed: int | None) -> str:
            return await text_of(engine.submit(asked, replace(drawn, seed=seed), model="first"))

        rated = [RatedText((*asked,), await write_one(number), (-1.0) ** number, 0.3) for number in range(16)]
        await engine.preferences.fit("house", rated, {})
        text = await text_of(engine.submit(asked, replace(drawn, seed=50), model="first", selection=HOUSE))
        texts = [await write_one(seed_of(50, place)) for place in range(6)]
        liked = scores(engine, load_base(str(tiny_model_folder)), asked, texts)
    assert text in [t for t, chance in zip(texts, liked, strict=True) if chance >= max(liked) - CLOSE_ENOUGH]


@pytest.mark.usefixtures("at_any_cost", "nothing_is_shown")
async def test_all_tokens_count_and_the_text_comes_in_one_piece(starter: Base, rated: list[RatedText]) -> None:
    asked = {"model": "starter", "messages": [{"role": "user", "content": "Write a slogan on winter"}], "seed": 3}
    asked |= {"max_tokens": 12, "ignore_eos": True, "best_of": 4, "taste": "house", "temperature": 1.0}
    async with served(Engine(starter)) as http:
        messages = [{"role": "user", "content": text.messages[0].content} for text in rated]
        texts = [
            {"messages": [message], "text": text.text, "value": text.value, "weight": text.weight}
            for message, text in zip(messages, rated, strict=True)
        ]
        fitted = (await http.post("/v1/taste", json={"name": "house", "texts": texts})).json()
        assert (fitted["name"], fitted["texts"], fitted["people"]) == ("house", len(rated), 0)
        whole = (await http.post("/v1/chat/completions", json=asked)).json()
        streamed = await http.post(
            "/v1/chat/completions", json=asked | {"stream": True, "stream_options": {"include_usage": True}}
        )
        figures = (await http.get("/metrics")).text
    assert whole["best_of"] == 4
    assert whole["usage"]["completion_tokens"] == 4 * 12
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line.startswith("data: {")]
    _, piece, last, usage = map(json.loads, events)
    assert piece["choices"][0]["delta"]["content"] == whole["choices"][0]["message"]["content"]
    assert (last["choices"][0]["finish_reason"], last["best_of"]) == ("length", 4)
    assert (usage["best_of"], usage["usage"]["completion_tokens"]) == (4, 4 * 12)
    assert 'ovation_engine_texts_compared_total{version="starter"} 8.0' in figures
    assert 'ovation_engine_choices_total{version="starter"} 2.0' in figures
    assert "ovation_engine_tastes 1.0" in figures


@pytest.mark.parametrize(
    ("sampling", "selection"),
    [
        (replace(DRAWN, seed=1), Selection(best_of=4, taste="nobody's")),
        (replace(DRAWN, seed=1), Selection(best_of=4)),
        (replace(DRAWN, seed=1), Selection(taste="house")),
        (replace(DRAWN, temperature=0.0), HOUSE),
    ],
)
async def test_where_there_is_nothing_to_choose_one_text_is_streamed(
    starter: Base, rated: list[RatedText], sampling: Sampling, selection: Selection
) -> None:
    async with tasting(starter, rated) as engine:
        generation = ask(engine, 0, sampling, selection)
        pieces = [delta async for delta in generation.deltas()]
        assert generation.best_of == 1
        assert len(pieces) > 1
        assert "".join(pieces) == await text_of(ask(engine, 0, sampling))


@pytest.mark.usefixtures("at_any_cost")
@pytest.mark.parametrize("options", [{"max_batch": 3}, {"kv_tokens": 3 * 45}])
async def test_there_are_as_many_texts_as_there_is_room_for(
    starter: Base, rated: list[RatedText], options: dict[str, int]
) -> None:
    async with tasting(starter, rated, **options) as engine:
        generation = ask(engine, 0, replace(DRAWN, seed=1), HOUSE)
        await text_of(generation)
        assert generation.prompt_tokens + DRAWN.max_tokens <= 45
        assert generation.best_of == 3
        assert engine.scheduler.kv_reserved == 0


@pytest.mark.usefixtures("at_any_cost")
async def test_a_busy_engine_writes_one_text(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated, max_batch=2) as engine:
        asked = [ask(engine, number, replace(DRAWN, seed=number), HOUSE) for number in range(6)]
        await asyncio.gather(*map(text_of, asked))
        assert [generation.best_of for generation in asked[:4]] == [1] * 4, "others wait behind these"


@pytest.mark.usefixtures("at_any_cost")
async def test_nobody_gets_a_second_text_while_somebody_waits_for_memory(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated, kv_tokens=300) as engine:
        with at_rest(engine):  # or the first may get its second text before the other asks
            small = ask(engine, 0, replace(DRAWN, seed=1, ignore_eos=True), HOUSE)
            large = ask(engine, 1, replace(DRAWN, seed=2, max_tokens=280), HOUSE)
        await asyncio.gather(text_of(small), text_of(large))
        assert (small.best_of, small.completion_tokens) == (1, DRAWN.max_tokens), "nor was one begun"
        assert large.best_of == 1


async def test_rows_that_are_not_worth_the_wait_are_not_taken(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated) as engine:
        engine.scheduler._latency._row_cost = 0.5
        expensive = ask(engine, 0, replace(DRAWN, seed=1), HOUSE)
        await text_of(expensive)
        assert expensive.best_of == 2


@pytest.mark.usefixtures("at_any_cost")
async def test_companions_make_way_for_others_at_once(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated, max_batch=4) as engine:
        group = ask(engine, 0, replace(LONG, seed=1), HOUSE)
        while group.completion_tokens < 40:
            await asyncio.sleep(0)
        others = [ask(engine, number, replace(DRAWN, max_tokens=4, ignore_eos=True)) for number in range(3)]
        await asyncio.gather(*map(text_of, others))
        assert group.finish_reason is None, "nobody has waited for it"
        assert await text_of(group) == await text_of(ask(engine, 0, replace(LONG, seed=1)))
        assert group.best_of == 1


@pytest.mark.usefixtures("at_any_cost")
async def test_a_cancelled_group_frees_all_its_rows(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated) as engine:
        group = ask(engine, 0, LONG, HOUSE)
        while group.completion_tokens < 40:
            await asyncio.sleep(0)
        assert engine.scheduler.kv_reserved == 6 * (group.prompt_tokens + LONG.max_tokens)
        group.cancel()
        assert await text_of(group) == ""
        assert group.finish_reason == "cancelled"
        while engine.scheduler.kv_reserved:
            await asyncio.sleep(0)
        assert not engine.scheduler._running
        assert engine.running == 0


@pytest.mark.usefixtures("at_any_cost")
async def test_a_deadline_ends_a_group(starter: Base, rated: list[RatedText]) -> None:
    async with tasting(starter, rated) as engine:
        group = ask(engine, 0, LONG, HOUSE, timeout_seconds=0.05)
        with pytest.raises(DeadlineExceeded):
            await text_of(group)
        await text_of(ask(engine))
        assert (engine.scheduler.kv_reserved, engine.running) == (0, 0)


@pytest.fixture
def scarce(starter: Base) -> Iterator[None]:
    """No memory for more than two rows, from the tenth pass on."""
    numbers = itertools.count()

    def forward(_: object, __: object, options: dict[str, torch.Tensor]) -> None:
        if next(numbers) >= 10 and len(options["input_ids"]) > 2:
            torch.empty(2**60, dtype=torch.uint8)

    hook = starter.model.register_forward_pre_hook(forward, with_kwargs=True)
    yield
    hook.remove()


@pytest.mark.usefixtures("at_any_cost")
async def test_when_memory_runs_out_the_text_goes_on_alone(starter: Base, rated: list[RatedText], scarce: None) -> None:
    sampling = replace(DRAWN, max_tokens=40, ignore_eos=True, seed=7)
    async with tasting(starter, rated) as engine:
        alone = await text_of(ask(engine, 0, sampling))
        group = ask(engine, 0, sampling, HOUSE)
        assert await text_of(group) == alone
        assert (group.best_of, engine.scheduler.kv_reserved) == (1, 0)


@pytest.mark.usefixtures("at_any_cost")
@pytest.mark.parametrize("where", ["head", "model"])
async def test_without_scores_the_first_text_is_taken(
    starter: Base, rated: list[RatedText], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with tasting(starter, rated) as engine:
        first = await text_of(ask(engine, 0, replace(DRAWN, seed=5)))
        if where == "head":
            engine.preferences._models["house"].shared.weights.fill_(torch.nan)
        else:

            def fail(*_: object, **__: object) -> None:
                raise RuntimeError("no luck")

            monkeypatch.setattr("engine.inference.best_of.text_features", fail)
        group = ask(engine, 0, replace(DRAWN, seed=5), HOUSE)
        assert await text_of(group) == first
        assert group.best_of == 1
        assert engine.is_alive


@pytest.mark.usefixtures("at_any_cost")
async def test_a_taste_that_goes_while_texts_are_written_leaves_the_first(
    starter: Base, rated: list[RatedText]
) -> None:
    async with tasting(starter, rated) as engine:
        group = ask(engine, 0, replace(DRAWN, seed=5), HOUSE)
        await engine.preferences.fit("house", [], {})
        assert await text_of(group) == await text_of(ask(engine, 0, replace(DRAWN, seed=5)))


@pytest.mark.usefixtures("at_any_cost", "nothing_is_shown")
async def test_exploring_is_repeated_by_the_seed_and_chooses_otherwise_now_and_then(
    starter: Base, rated: list[RatedText]
) -> None:
    unsure = replace(HOUSE, explore=1.0)
    async with tasting(starter, rated[:12]) as engine:

        async def choices(selection: Selection) -> list[str]:
            return [await text_of(ask(engine, 0, replace(DRAWN, seed=seed), selection)) for seed in range(6)]

        explored = await choices(unsure)
        assert explored == await choices(unsure)
        assert explored != await choices(HOUSE)
