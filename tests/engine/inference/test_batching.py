"""The engine writes what `model.generate` writes, in any company."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from engine.api.types import Message, Sampling
from engine.errors import EngineBusy, EngineUnavailable, ModelError, RequestError
from engine.inference.engine import Engine, TextStream
from engine.models.loader import Base
from tests.engine.conftest import CONTEXT_TOKENS, save_adapter

GREEDY = Sampling(max_tokens=24, temperature=0.0, ignore_eos=True)
TOPICS = [
    "tea",
    "a fox who learned to read",
    "初雪",
    "x",
    "the moon and the warm water, at night, slowly, for you",
    "é",
]


def ask(topic: str) -> list[Message]:
    return [Message("user", f"Write a poem on {topic}")]


def generate_ids(model: PreTrainedModel, base: Base, messages: Sequence[Message], sampling: Sampling) -> list[int]:
    """The tokens that transformers' own `generate` writes."""
    prompt = torch.tensor([base.template.encode(messages)])
    ends = None if sampling.ignore_eos else sorted(base.end_tokens)
    with torch.inference_mode():
        ids = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),  # else it takes the padding token in the prompt for padding
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=0,
        )
    return list(ids[0, prompt.shape[1] :].tolist())


def generate(model: PreTrainedModel, base: Base, messages: Sequence[Message], sampling: Sampling) -> str:
    """The text that transformers' own `generate` writes, without the beginning of a character at its end."""
    ids = generate_ids(model, base, messages, sampling)
    return str(base.tokenizer.decode(ids, skip_special_tokens=True)).rstrip("\ufffd")


async def text_of(generation: TextStream) -> str:
    return "".join([piece.text async for piece in generation.pieces()])


async def write(engine: Engine, messages: Sequence[Message], sampling: Sampling, model: str = "tiny") -> str:
    return await text_of(engine.submit(messages, sampling, model=model))


async def test_a_greedy_text_is_that_of_generate(tiny_base: Base) -> None:
    async with Engine(tiny_base) as engine:
        for topic in TOPICS:
            expected = generate(tiny_base.model, tiny_base, ask(topic), GREEDY)
            assert await write(engine, ask(topic), GREEDY) == expected


async def test_greedy_texts_are_those_of_generate_in_a_batch_that_others_join_and_leave(tiny_base: Base) -> None:
    draw = random.Random(1)
    asked = [(ask(draw.choice(TOPICS) * draw.randint(1, 4)), draw.randint(1, 60)) for _ in range(40)]
    expected = [generate(tiny_base.model, tiny_base, m, replace(GREEDY, max_tokens=n)) for m, n in asked]
    async with Engine(tiny_base, max_batch=7) as engine:

        async def one(index: int) -> str:
            await asyncio.sleep(draw.random() / 5)
            messages, tokens = asked[index]
            neighbour = [] if index % 3 else [write(engine, messages, Sampling(max_tokens=tokens, seed=index))]
            text, *_ = await asyncio.gather(write(engine, messages, replace(GREEDY, max_tokens=tokens)), *neighbour)
            return text

        assert await asyncio.gather(*(one(index) for index in range(len(asked)))) == expected


async def test_versions_side_by_side_write_what_each_writes_alone(
    tiny_base: Base, tiny_model_folder: Path, versions_dir: Path
) -> None:
    expected = {"tiny": generate(tiny_base.model, tiny_base, ask("tea"), GREEDY)}
    for name in ("first", "second"):
        adapted = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(tiny_model_folder), str(versions_dir / name)
        )
        expected[name] = generate(adapted, tiny_base, ask("tea"), GREEDY)
    assert len(set(expected.values())) == 3
    async with Engine(tiny_base) as engine:
        await engine.load_adapter("first", versions_dir / "first")
        await engine.load_adapter("second", versions_dir / "second")
        assert engine.model_names == ("tiny", "first", "second")
        names = ["first", "tiny", "second", "tiny", "second", "first"]
        texts = await asyncio.gather(*(write(engine, ask("tea"), GREEDY, name) for name in names))
    assert texts == [expected[name] for name in names]


async def test_a_seed_gives_the_same_text_alone_and_in_company(tiny_base: Base) -> None:
    sampling = Sampling(max_tokens=20, temperature=0.9, top_k=30, top_p=0.95, repetition_penalty=1.2, ignore_eos=True)
    async with Engine(tiny_base) as engine:
        alone = await write(engine, ask("tea"), replace(sampling, seed=7))
        crowd = [write(engine, ask(topic), replace(sampling, seed=index)) for index, topic in enumerate(TOPICS)]
        together, *others = await asyncio.gather(write(engine, ask("tea"), replace(sampling, seed=7)), *crowd)
    assert together == alone
    assert len({alone, *others}) == len(others) + 1


async def test_an_answer_ends_at_the_end_token_and_not_with_ignore_eos(tiny_base: Base) -> None:
    whole = generate_ids(tiny_base.model, tiny_base, ask("tea"), GREEDY)
    end = next(token for place, token in enumerate(whole) if place > 5 and token not in whole[:place])
    tiny_base.model.generation_config.eos_token_id = [0, end]
    until_end = generate(tiny_base.model, tiny_base, ask("tea"), replace(GREEDY, max_tokens=whole.index(end)))
    async with Engine(tiny_base) as engine:
        ended = engine.submit(ask("tea"), replace(GREEDY, ignore_eos=False), model="tiny")
        assert await text_of(ended) == until_end
        assert (ended.finish_reason, ended.completion_tokens) == ("stop", whole.index(end) + 1)
        unended = engine.submit(ask("tea"), GREEDY, model="tiny")
        assert await text_of(unended) == generate(tiny_base.model, tiny_base, ask("tea"), GREEDY)
        assert (unended.finish_reason, unended.completion_tokens) == ("length", 24)


async def test_a_stop_string_and_what_follows_is_never_shown(tiny_base: Base) -> None:
    whole = generate(tiny_base.model, tiny_base, ask("tea"), GREEDY)
    middle = whole[len(whole) // 2 : len(whole) // 2 + 3]
    async with Engine(tiny_base) as engine:
        generation = engine.submit(ask("tea"), replace(GREEDY, stop=("never there", middle)), model="tiny")
        pieces = [piece.text async for piece in generation.pieces()]
    assert "".join(pieces) == whole[: whole.index(middle)]
    assert generation.finish_reason == "stop"


async def test_a_cancelled_request_frees_its_row_for_the_next(tiny_base: Base) -> None:
    async with Engine(tiny_base, max_batch=1) as engine:
        endless = engine.submit(ask("tea"), replace(GREEDY, max_tokens=200), model="tiny")
        waiting = engine.submit(ask("x"), replace(GREEDY, max_tokens=2), model="tiny")
        async for _ in endless.pieces():
            endless.cancel()
        assert endless.finish_reason == "cancelled"
        assert endless.completion_tokens < 200
        await text_of(waiting)
        assert waiting.finish_reason == "length"
        assert (engine.running, engine.waiting) == (0, 0)


async def test_a_request_cancelled_while_it_waits_costs_nothing(tiny_base: Base) -> None:
    async with Engine(tiny_base, max_batch=1) as engine:
        running = engine.submit(ask("tea"), GREEDY, model="tiny")
        waiting = engine.submit(ask("tea"), GREEDY, model="tiny")
        waiting.cancel()
        assert await text_of(waiting) == ""
        assert (waiting.finish_reason, waiting.completion_tokens) == ("cancelled", 0)
        assert await text_of(running) != ""


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(tiny_base: Base) -> None:
    async with Engine(tiny_base, max_batch=2, max_queue=3) as engine:
        accepted = [engine.submit(ask("tea"), GREEDY, model="tiny") for _ in range(5)]
        with pytest.raises(EngineBusy) as refusal:
            engine.submit(ask("tea"), GREEDY, model="tiny")
        assert refusal.value.retry_after_seconds > 0
        texts = await asyncio.gather(*map(text_of, accepted))
        assert len(set(texts)) == 1
        assert await write(engine, ask("tea"), GREEDY) == texts[0]


async def test_what_does_not_fit_the_context_is_refused_with_the_number(tiny_base: Base) -> None:
    async with Engine(tiny_base) as engine:
        with pytest.raises(RequestError, match=str(CONTEXT_TOKENS)):
            engine.submit(ask("tea " * 300), GREEDY, model="tiny")
        with pytest.raises(RequestError, match=str(CONTEXT_TOKENS)):
            engine.submit(ask("tea"), replace(GREEDY, max_tokens=CONTEXT_TOKENS), model="tiny")
        filling = engine.submit(ask("tea"), replace(GREEDY, max_tokens=4000), model="tiny", fills_context=True)
        await text_of(filling)
    assert filling.prompt_tokens + filling.completion_tokens == CONTEXT_TOKENS


async def test_an_unknown_version_is_refused(tiny_base: Base) -> None:
    async with Engine(tiny_base) as engine:
        with pytest.raises(RequestError, match="no model 'gpt-9'") as refusal:
            engine.submit(ask("tea"), GREEDY, model="gpt-9")
        assert refusal.value.status == 404
        with pytest.raises(RequestError) as refusal:
            engine.unload_adapter("gpt-9")
        assert refusal.value.status == 404


async def test_an_unloaded_version_finishes_its_requests_and_takes_no_more(tiny_base: Base, versions_dir: Path) -> None:
    async with Engine(tiny_base) as engine:
        await engine.load_adapter("first", versions_dir / "first")
        expected = await write(engine, ask("tea"), GREEDY, "first")
        running = [engine.submit(ask("tea"), GREEDY, model="first") for _ in range(3)]
        engine.unload_adapter("first")
        with pytest.raises(RequestError):
            engine.submit(ask("tea"), GREEDY, model="first")
        assert await asyncio.gather(*map(text_of, running)) == [expected] * 3
        await engine.load_adapter("first", versions_dir / "first")
        assert await write(engine, ask("tea"), GREEDY, "first") == expected


async def test_the_last_version_unloaded_leaves_the_base_as_it_was(tiny_base: Base, versions_dir: Path) -> None:
    expected = generate(tiny_base.model, tiny_base, ask("tea"), GREEDY)
    async with Engine(tiny_base) as engine:
        for name in ("first", "second"):
            await engine.load_adapter(name, versions_dir / name)
        for name in ("first", "second"):
            await write(engine, ask("tea"), GREEDY, name)
            engine.unload_adapter(name)
        assert await write(engine, ask("tea"), GREEDY) == expected


async def test_a_name_loaded_twice_must_be_the_same_version(tiny_base: Base, versions_dir: Path) -> None:
    async with Engine(tiny_base) as engine:
        await asyncio.gather(*(engine.load_adapter("first", versions_dir / "first") for _ in range(3)))
        assert engine.model_names == ("tiny", "first")
        with pytest.raises(ModelError, match="loaded already"):
            await engine.load_adapter("first", versions_dir / "second")
        with pytest.raises(ModelError, match="base model's name"):
            await engine.load_adapter("tiny", versions_dir / "second")


@pytest.mark.parametrize(
    ("value", "told"), [(torch.nan, "damaged"), (-torch.inf, "damaged"), (3e38, "not with numbers")]
)
async def test_an_adapter_that_is_or_computes_no_numbers_is_refused_before_it_can_be_named(
    tiny_base: Base, versions_dir: Path, tmp_path: Path, value: float, told: str
) -> None:
    from safetensors.torch import load_file, save_file

    from engine.runs.versions import publish

    weights = load_file(versions_dir / "first" / "adapter_model.safetensors")
    weights[min(weights)][0] = value
    sick = tmp_path / "sick"
    sick.mkdir()
    save_file(weights, sick / "adapter_model.safetensors")
    (sick / "adapter_config.json").write_bytes((versions_dir / "first" / "adapter_config.json").read_bytes())
    folder = publish(sick, tmp_path / "versions", "sick")
    async with Engine(tiny_base) as engine:
        before = await write(engine, ask("tea"), GREEDY)
        with pytest.raises(ModelError, match=told):
            await engine.load_adapter("sick", folder)
        assert engine.model_names == ("tiny",)
        assert await write(engine, ask("tea"), GREEDY) == before


async def test_an_adapter_of_a_wider_base_is_refused(tiny_base: Base, versions_dir: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from engine.runs.versions import publish

    weights = load_file(versions_dir / "first" / "adapter_model.safetensors")
    wider = {name: weight.repeat(1, 2) if "lora_A" in name else weight.repeat(2, 1) for name, weight in weights.items()}
    (tmp_path / "wider").mkdir()
    save_file(wider, tmp_path / "wider" / "adapter_model.safetensors")
    config = (versions_dir / "first" / "adapter_config.json").read_bytes()
    (tmp_path / "wider" / "adapter_config.json").write_bytes(config)
    folder = publish(tmp_path / "wider", tmp_path / "versions", "wider")
    async with Engine(tiny_base) as engine:
        await engine.load_adapter("first", versions_dir / "first")
        before = await write(engine, ask("tea"), GREEDY, model="first")
        with pytest.raises(ModelError, match="does not fit"):
            await engine.load_adapter("wider", folder)
        assert engine.model_names == ("tiny", "first")
        assert await write(engine, ask("tea"), GREEDY, model="first") == before


async def test_an_adapter_of_another_model_is_refused(
    tiny_base: Base, tiny_model_folder: Path, versions_dir: Path, tmp_path: Path
) -> None:
    from engine.runs.versions import publish

    save_adapter(tiny_model_folder, tmp_path / "wide", seed=3, rank=8)
    config = (versions_dir / "first" / "adapter_config.json").read_bytes()  # says rank 4
    (tmp_path / "wide" / "adapter_config.json").write_bytes(config)
    folder = publish(tmp_path / "wide", tmp_path / "versions", "wide")
    async with Engine(tiny_base) as engine:
        with pytest.raises(ModelError, match="does not fit"):
            await engine.load_adapter("wide", folder)
        await engine.load_adapter("first", versions_dir / "first")
        assert engine.model_names == ("tiny", "first")


@pytest.mark.parametrize(
    "config",
    [
        '{"peft_type": "IA3"}',
        '{"peft_type": "LORA", "modules_to_save": ["lm_head"]}',
        '{"peft_type": "LORA", "bias": "all"}',
        '{"peft_type": "LORA", "megatron_config": {"a": 1}}',
        '{"peft_type": "LORA", "target_modules": ["nowhere"]}',
        '{"peft_type": "LORA", "r": "four"}',
        '{"peft_type": "LORA", "r": 1000000000, "target_modules": ["q_proj"]}',  # would fill the memory
        "[]",
        "{",
    ],
)
async def test_an_adapter_with_an_odd_config_is_refused(
    tiny_base: Base, versions_dir: Path, tmp_path: Path, config: str
) -> None:
    from engine.runs.versions import publish

    odd = tmp_path / "odd"
    odd.mkdir()
    for file in ("adapter_model.safetensors", "README.md"):
        (odd / file).write_bytes((versions_dir / "first" / file).read_bytes())
    (odd / "adapter_config.json").write_text(config)
    folder = publish(odd, tmp_path / "versions", "odd")
    async with Engine(tiny_base) as engine:
        with pytest.raises(ModelError):
            await engine.load_adapter("odd", folder)
        assert engine.model_names == ("tiny",)
        assert await write(engine, ask("tea"), GREEDY) != ""


async def test_a_batch_whose_forward_pass_fails_ends_its_requests_and_the_engine_goes_on(tiny_base: Base) -> None:
    countdown = itertools.count()

    def fail_once(*_: object) -> None:
        if next(countdown) == 5:
            raise RuntimeError("out of memory")

    tiny_base.model.register_forward_pre_hook(fail_once)
    async with Engine(tiny_base) as engine:
        failed = engine.submit(ask("tea"), GREEDY, model="tiny")
        with pytest.raises(EngineUnavailable, match="could not compute"):
            await text_of(failed)
        assert await write(engine, ask("tea"), GREEDY) != ""


async def test_requests_that_run_when_the_engine_stops_are_told(tiny_base: Base) -> None:
    async with Engine(tiny_base, max_batch=1) as engine:
        generations = [engine.submit(ask("tea"), replace(GREEDY, max_tokens=200), model="tiny") for _ in range(3)]
        await anext(generations[0].pieces())
    for generation in generations:
        with pytest.raises(EngineUnavailable, match="stopped"):
            await text_of(generation)
    with pytest.raises(EngineUnavailable):
        engine.submit(ask("tea"), GREEDY, model="tiny")
