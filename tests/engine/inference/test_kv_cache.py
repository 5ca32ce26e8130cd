"""Keys and values are reserved as the padded batches may come to hold them."""

from pathlib import Path

import pytest
import torch

from engine.inference.kv_cache import KvBudget, bytes_per_token, default_kv_tokens, free_bytes
from engine.models.loader import Base
from tests.engine.conftest import CONTEXT_TOKENS


def test_a_batch_counts_as_a_rectangle_and_batches_add_up() -> None:
    budget = KvBudget(100)
    budget.reserve("v1", 10)
    budget.reserve("v1", 20)
    budget.reserve(None, 30)
    assert budget.reserved == 2 * 20 + 30
    assert budget.fits("v1", 10)
    assert not budget.fits("v1", 24), "three rows as wide as the widest are 72"
    assert budget.fits("v2", 30)
    assert not budget.fits("v2", 31)
    budget.release("v1", 20)
    assert budget.reserved == 10 + 30
    budget.release("v1", 10)
    budget.release(None, 30)
    assert budget.reserved == 0


def test_a_tokens_bytes_are_those_of_the_cache(tiny_base: Base) -> None:
    with torch.inference_mode():
        cache = tiny_base.model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert bytes_per_token(tiny_base.model) == held // 3


def test_the_default_is_a_share_of_what_is_free_and_never_less_than_a_context(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 2**50
    token = bytes_per_token(tiny_base.model)
    for free, tokens in ((4000 * token, 1000), (4 * token, CONTEXT_TOKENS)):
        monkeypatch.setattr("engine.inference.kv_cache.free_bytes", lambda _, free=free: free)
        assert default_kv_tokens(tiny_base) == tokens


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.cgroups.GROUPS", tmp_path)
    whole = free_bytes(torch.device("cpu"))
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_bytes(torch.device("cpu")) == 4000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(torch.device("cpu")) > whole // 2
