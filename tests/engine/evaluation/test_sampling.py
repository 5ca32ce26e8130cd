"""Replies in bulk: what serving would write, the same alone and in company."""

from dataclasses import replace

import pytest
import torch

from engine.api.types import Message, Sampling
from engine.errors import RunError
from engine.evaluation.sampling import Prompt, sample_replies
from engine.inference.batch import Batch, Row
from engine.models.layers import use_fast_attention
from engine.models.loader import Base, load_base
from engine.runs.config import RunConfig
from engine.training.stage import add_adapter
from tests.support.learning.learning_fixtures import needs_bfloat16, save_tiny_model

CONFIG = RunConfig(temperature=0.9, top_p=0.95, min_p=0.02, max_new_tokens=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(save_tiny_model(tmp_path_factory.mktemp("tiny"))), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def prompts(base: Base) -> list[Prompt]:
    topics = ["tea", "a much longer topic about tea", "绿茶"]
    return [Prompt.of(base, [Message("user", topic)]) for topic in topics]


def test_each_reply_belongs_to_its_prompt_and_ends_at_its_end_token_or_its_limit(base, prompts):
    replies = sample_replies(base.model, base, prompts, config=CONFIG, count=130, seed=1)
    assert replies.owners[:4] == (0, 1, 2, 0)
    assert len(replies.rows) == len(replies.texts) == 130
    for row, owner, text in zip(replies.rows, replies.owners, replies.texts, strict=True):
        assert row.prompt == prompts[owner].tokens
        *before, last = row.completion
        assert not base.end_tokens & set(before)
        assert last in base.end_tokens or len(row.completion) == 12
        assert text == base.tokenizer.decode(row.completion, skip_special_tokens=True)


def test_a_reply_does_not_depend_on_how_many_are_written_at_once(base, prompts):
    together = sample_replies(base.model, base, prompts, config=CONFIG, count=40, seed=1)
    few_rows = replace(CONFIG, max_length=16, max_batch_tokens=128)
    assert sample_replies(base.model, base, prompts, config=few_rows, count=40, seed=1).rows == together.rows
    assert sample_replies(base.model, base, prompts, config=CONFIG, count=7, seed=1).rows == together.rows[:7]
    assert sample_replies(base.model, base, prompts, config=CONFIG, count=40, seed=2).rows != together.rows


def test_no_reply_is_longer_than_the_context(base):
    prompt = Prompt((5,) * (base.context_tokens - 3))
    replies = sample_replies(base.model, base, [prompt], config=CONFIG, count=20, seed=1)
    assert max(len(row) for row in replies.rows) == base.context_tokens


def test_a_reply_is_what_serving_writes_with_the_same_seed(base, prompts):
    written = sample_replies(base.model, base, prompts[:1], config=replace(CONFIG, max_new_tokens=1), count=1, seed=0)
    sampling = Sampling(max_tokens=1, temperature=0.9, top_p=0.95, min_p=0.02, seed=0)
    assert Batch(base.model).join([Row(prompts[0].tokens, sampling)]) == list(written.rows[0].completion)


@pytest.mark.parametrize("in_bfloat16", [False, pytest.param(True, marks=needs_bfloat16)])
def test_an_adapter_that_is_on_writes_and_one_that_changes_nothing_writes_as_the_base(
    base, prompts, in_bfloat16, monkeypatch
):
    monkeypatch.setattr("engine.evaluation.sampling.gains_by_bfloat16", lambda _: in_bfloat16)
    folder = base.model.name_or_path
    own = load_base(folder, device=torch.device("cpu"))
    use_fast_attention(own.model)
    before = sample_replies(own.model, own, prompts, config=CONFIG, count=12, seed=1)
    model = add_adapter(own, replace(CONFIG, base=folder))
    assert sample_replies(model, base, prompts, config=CONFIG, count=12, seed=1).rows == before.rows
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    assert sample_replies(model, base, prompts, config=CONFIG, count=12, seed=1).rows != before.rows


def test_probabilities_that_are_no_numbers_are_a_sentence(base, prompts):
    broken = load_base(base.model.name_or_path, device=torch.device("cpu")).model
    with torch.no_grad():
        broken.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(RunError, match="lower learning_rate"):
        sample_replies(broken, base, prompts, config=CONFIG, count=3, seed=1)
