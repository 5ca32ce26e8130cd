"""Packed layers say the same, eight-bit ones nearly, and both carry adapters."""

from functools import partial
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from benchmarks.compression import stored_bytes
from engine.inference.kv_cache import RowsCache
from engine.inference.lora import LoadedAdapters
from engine.models.layers import Int8Linear, LlamaForward, PackedLinear, RoundedLinear, pack, quantize, round_frozen
from tests.engine.conftest import save_adapter
from tests.support.learning.learning_fixtures import needs_bfloat16

SIZES = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True,
}  # fmt: skip
IDS = torch.arange(1, 25).view(2, 12)


def qwen() -> PreTrainedModel:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(**SIZES)).eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits


def difference(given: torch.Tensor, expected: torch.Tensor) -> float:
    """The mean KL divergence of what the logits say, in nats a token."""
    divergence = F.kl_div(given.log_softmax(-1), expected.log_softmax(-1), log_target=True, reduction="none")
    return divergence.sum(-1).mean().item()


@torch.inference_mode()
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_packed_layer_gives_what_the_dense_one_gives(has_bias: bool) -> None:
    dense = nn.Linear(48, 80, bias=has_bias)
    packed = PackedLinear(dense)
    for shape in [(1, 1, 48), (3, 48), (70, 2, 48)]:
        given = torch.randn(shape)
        assert torch.allclose(packed(given), dense(given), atol=1e-5)
    assert torch.equal(packed.weight, dense.weight)


def test_a_packed_model_says_the_same() -> None:
    model = qwen()
    expected = logits(model)
    pack(model)
    assert all(isinstance(m, PackedLinear) for m in model.modules() if isinstance(m, nn.Linear))
    assert torch.allclose(logits(model), expected, atol=1e-5)


@needs_bfloat16
@torch.inference_mode()
def test_a_bfloat16_layer_is_off_by_about_its_last_digit_and_takes_and_gives_float32() -> None:
    dense = nn.Linear(256, 128)
    given = torch.randn(32, 256)
    packed = PackedLinear(dense, torch.bfloat16)
    expected = dense(given)
    error = (packed(given) - expected).norm() / expected.norm()
    assert 0 < error < 2**-7
    assert packed(given).dtype == torch.float32
    assert torch.equal(packed.weight, dense.weight.bfloat16().float())


@needs_bfloat16
@torch.inference_mode()
def test_a_model_in_training_can_write_in_bfloat16_and_keeps_its_weights() -> None:
    model = qwen()
    positions = torch.arange(IDS.shape[1]).expand_as(IDS)
    exact, rough = (
        LlamaForward(model, in_bfloat16=in_bfloat16)(IDS, positions, None, RowsCache()) for in_bfloat16 in (False, True)
    )
    assert torch.allclose(exact, logits(model)[:, -1], atol=1e-5)
    assert 0 < difference(rough, exact) < 1e-3
    assert all(type(m) is nn.Linear for m in model.modules() if isinstance(m, nn.Linear))


@needs_bfloat16
def test_a_bfloat16_model_says_nearly_the_same() -> None:
    model = qwen()
    expected = logits(model)
    pack(model, torch.bfloat16)
    assert 0 < difference(logits(model), expected) < 1e-3


@torch.inference_mode()
def test_an_eight_bit_row_does_not_depend_on_its_company() -> None:
    layer = Int8Linear(nn.Linear(64, 96))
    rows = torch.randn(40, 64) * torch.logspace(-3, 3, 40).unsqueeze(1)
    together = layer(rows)
    assert all(torch.equal(layer(row.unsqueeze(0))[0], result) for row, result in zip(rows, together, strict=True))


@torch.inference_mode()
def test_an_eight_bit_layer_is_off_by_about_the_step_of_its_grid() -> None:
    dense = nn.Linear(256, 128)
    given = torch.randn(32, 256)
    expected = dense(given) - dense.bias
    error = (Int8Linear(dense)(given) - dense.bias - expected).norm() / expected.norm()
    assert error < 0.02
    assert torch.equal(Int8Linear(dense)(torch.zeros(1, 256))[0], dense.bias)


def test_an_eight_bit_model_is_a_quarter_as_large_and_says_nearly_the_same() -> None:
    model = qwen()
    expected, size = logits(model), stored_bytes(model)
    quantize(model)
    assert stored_bytes(model) <= 0.4 * size
    assert model.lm_head.quantized.data_ptr() == model.model.embed_tokens.quantized.data_ptr()
    assert difference(logits(model), expected) < 1e-3


@pytest.mark.parametrize(
    "prepare", [pack, pytest.param(partial(pack, dtype=torch.bfloat16), marks=needs_bfloat16), quantize]
)
def test_an_adapter_works_over_stored_weights(prepare: object, tmp_path: Path) -> None:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(tmp_path / "base")
    folder = save_adapter(tmp_path / "base", tmp_path / "adapter", seed=1)

    def written(prepared: bool) -> tuple[torch.Tensor, torch.Tensor]:
        model = LlamaForCausalLM.from_pretrained(tmp_path / "base").eval()
        if prepared:
            prepare(model)  # type: ignore[operator]
        adapters = LoadedAdapters(model)
        key = adapters.load(folder, [1, 2])
        base = logits(model)
        adapters.activate(key)
        return base, logits(model)

    (base, tuned), (base_stored, tuned_stored) = written(False), written(True)
    moved = (tuned - base).norm()
    assert moved > 1 and (tuned_stored - tuned).norm() < 0.05 * moved and (base_stored - base).norm() < 0.05 * moved


@needs_bfloat16
def test_frozen_layers_in_bfloat16_pass_nearly_the_same_gradient_to_an_adapter():
    def gradients(model: PreTrainedModel) -> torch.Tensor:
        torch.manual_seed(1)
        adapted = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False))
        adapted(input_ids=IDS).logits.float().log_softmax(-1)[..., 0].sum().backward()
        weights = [each for each in adapted.parameters() if each.requires_grad]
        assert {each.dtype for each in weights} == {torch.float32}
        return torch.cat([each.grad.flatten() for each in weights if each.grad is not None])

    rounded = qwen()
    round_frozen(rounded)
    assert isinstance(rounded.model.layers[0].mlp.up_proj, RoundedLinear)
    assert rounded.lm_head.weight.dtype == torch.float32
    exact, near = gradients(qwen()), gradients(rounded)
    assert F.cosine_similarity(exact, near, dim=0) > 0.99
