"""Whatever the architecture: the tokens of `generate`, rows together or one by one, or a refusal by name."""

import copy
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, PreTrainedModel

from engine.api.types import Message, Sampling
from engine.errors import ModelError
from engine.inference.batch import Batch, Row, can_write
from engine.inference.engine import Engine
from engine.inference.kv_cache import bytes_per_token
from engine.models.architectures import BATCHED, tokens_together
from engine.models.layers import pack, use_fast_attention
from engine.models.loader import load_base, load_to_serve
from engine.server import main
from tests.support.tiny_models import VOCAB, tiny_config, tiny_model

QUICK = (
    "bloom falcon gemma3_text gemma4_text gpt_bigcode gpt_oss gptj granite granitemoe glm4 llama4_text mixtral mpt"
    " olmo2 opt phi"
).split()
"""Of the batched ones, one for each way of doing things; `test_batching_architectures.py` has the most used."""
ALONE = ["bert", "cpmant", "ctrl", "openai-gpt", "xlnet", "mvp", "bigbird_pegasus"]
LONG_ROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 24}
LONG_ROPE |= {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [4.0, 3.0, 2.0, 1.5]}
ROPES: dict[str, dict[str, Any]] = {
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    "longrope": LONG_ROPE,
    "yarn": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 24},
}


def generated(model: PreTrainedModel, prompt: Sequence[int], count: int) -> list[int]:
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    return list(written[0, len(prompt) :].tolist())


def written(model: PreTrainedModel, prompts: Sequence[list[int]], counts: Sequence[int]) -> list[list[int]]:
    """What rows write that come in twos, step together and leave when they have as many tokens as they want."""
    rows = [Row(prompt, Sampling(temperature=0.0, max_tokens=n)) for prompt, n in zip(prompts, counts, strict=True)]
    texts: dict[Row, list[int]] = {row: [] for row in rows}
    waiting, batch = list(rows), Batch(model)
    while waiting or batch.rows:
        advanced = batch.rows
        for row, token in zip(advanced, batch.step() if advanced else [], strict=True):
            texts[row].append(token)
        joining, waiting = waiting[:2], waiting[2:]
        for row, token in zip(joining, batch.join(joining) if joining else [], strict=True):
            texts[row].append(token)
        batch.drop([row for row in batch.rows if len(texts[row]) == row.sampling.max_tokens])
    return [texts[row] for row in rows]


def assert_as_generated(model: PreTrainedModel, lengths: Sequence[int] = (3, 17, 9, 1), count: int = 7) -> None:
    """Rows of these lengths get the tokens of `generate`, as the model is and as it is served."""
    draw = random.Random(0)
    prompts = [[draw.randrange(3, VOCAB) for _ in range(length)] for length in lengths]
    counts = [count - place % 3 for place in range(len(prompts))]
    expected = [generated(copy.deepcopy(model), *each) for each in zip(prompts, counts, strict=True)]
    assert written(copy.deepcopy(model), prompts, counts) == expected
    use_fast_attention(model)
    pack(model)
    assert written(model, prompts, counts) == expected


@pytest.mark.parametrize("kind", QUICK)
def test_rows_that_are_read_together(kind: str) -> None:
    model = tiny_model(kind)
    assert tokens_together(model) > 128
    assert_as_generated(model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(BATCHED - {*QUICK}))
def test_all_others_that_are_read_together(kind: str) -> None:
    assert_as_generated(tiny_model(kind))


@pytest.mark.parametrize("kind", ALONE)
def test_rows_that_are_read_one_by_one(kind: str) -> None:
    model = tiny_model(kind, is_decoder=True)
    assert tokens_together(model) == 0
    assert_as_generated(model)


@pytest.mark.parametrize(("kind", "name"), [*(("llama", name) for name in ROPES), ("phi3", "longrope")])
def test_positions_that_turn_otherwise_in_long_rows(kind: str, name: str) -> None:
    """Rows within what the model was trained for, beyond it, and growing beyond it, side by side."""
    more = {"original_max_position_embeddings": 24} if kind == "phi3" else {}
    context = 24 if name == "dynamic" else 128
    model = tiny_model(kind, rope_parameters=ROPES[name], max_position_embeddings=context, **more)
    assert (tokens_together(model) < 128) == (name != "yarn")
    assert_as_generated(model, lengths=(5, 40, 20, 30, 23), count=9)


REFUSED = {
    "bart": "an encoder with a decoder",
    "t5": "an encoder with a decoder",
    "whisper": "an encoder with a decoder",
    "marian": "an encoder with a decoder",
    "clip": "not a causal language model",
    "roberta": "an encoder",
    "rwkv": "a recurrent network",
    "mamba": "layers; choose one with attention only",
    "lfm2": "conv layers",
}


def with_tokenizer(folder: Path, like: Path) -> Path:
    """A folder with the tokenizer of another."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((like / name).read_bytes())
    return folder


def save(kind: str, folder: Path, like: Path, **more: Any) -> Path:
    """A model's folder with the tokenizer of another."""
    tiny_model(kind, vocab_size=400, **more).save_pretrained(folder)
    return with_tokenizer(folder, like)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_write_here_is_refused_by_name_at_the_start(
    kind: str, tmp_path: Path, tiny_model_folder: Path
) -> None:
    if kind in ("rwkv", "mamba", "lfm2"):
        more = {"layer_types": ["conv", "full_attention"]} if kind == "lfm2" else {}
        save(kind, tmp_path, tiny_model_folder, **more)
    else:
        with_tokenizer(tmp_path, tiny_model_folder)
        (tmp_path / "config.json").write_text(json.dumps(CONFIG_MAPPING[kind]().to_dict()))
        save_file({"a.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=REFUSED[kind]) as refusal:
        load_base(str(tmp_path))
    assert f"({kind})" in str(refusal.value)


@pytest.mark.parametrize("kind", ["bloom", "mpt", "openai-gpt"])
async def test_it_is_served_from_its_folder_with_its_own_words_for_its_sizes(
    kind: str, tmp_path: Path, tiny_model_folder: Path
) -> None:
    base = load_to_serve(str(save(kind, tmp_path, tiny_model_folder)))
    assert base.context_tokens in (128, 2048) and bytes_per_token(base.model) > 0
    asked = [Message("user", "Write a poem on tea")]
    expected = generated(load_base(str(tmp_path)).model, base.template.encode(asked), 8)
    async with Engine(base) as engine:
        greedy = Sampling(max_tokens=8, temperature=0.0, ignore_eos=True)
        texts = [engine.submit(asked, greedy, model=base.name) for _ in range(2)]
        for text in texts:
            (whole,) = await text.whole()
            assert whole.text == str(base.tokenizer.decode(expected, skip_special_tokens=True)).rstrip("\ufffd")


def test_an_architecture_that_nobody_has_tried_is_tried_at_the_start(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_to_serve(str(save("openai-gpt", tmp_path, tiny_model_folder)))
    prompt = base.template.encode([Message("user", "Hello")])
    assert can_write(base.model, prompt, tokens=2)
    main.try_out(base)

    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(base.model, "forward", fail)
    with pytest.raises(ModelError, match=r"\(openai-gpt\) cannot write here"):
        main.try_out(base)


def test_the_list_names_types_that_there_are() -> None:
    assert set(BATCHED) <= set(CONFIG_MAPPING)
    assert {tiny_config(kind).model_type for kind in QUICK} <= BATCHED
