"""Our attention is PyTorch's, for one new token and for many."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from engine.models.layers import attend, use_fast_attention


class Layer(torch.nn.Module):
    """What transformers reads of an attention layer."""

    is_causal = True

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = groups


@torch.inference_mode()
@pytest.mark.parametrize("key_heads", [1, 2, 8])
@pytest.mark.parametrize("kind", ["none", "boolean", "additive"])
@pytest.mark.parametrize("new", [1, 5])
def test_it_is_pytorchs_attention(key_heads: int, kind: str, new: int) -> None:
    query = torch.randn(3, 8, new, 16)
    key, value = torch.randn(3, key_heads, 11, 16), torch.randn(3, key_heads, 11, 24)
    hidden = torch.arange(11) < torch.tensor([0, 4, 7]).view(3, 1, 1, 1)
    masks = {
        "none": None,
        "boolean": (~hidden).expand(3, 1, new, 11),
        "additive": torch.zeros(3, 1, new, 11).masked_fill(hidden, -torch.inf),
    }
    for scaling in (None, 0.3):
        layer = Layer(8 // key_heads)
        ours, _ = attend(layer, query, key, value, masks[kind], scaling=scaling)
        theirs, _ = sdpa_attention_forward(layer, query, key, value, masks[kind], scaling=scaling)
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_model_that_chose_another_attention_keeps_it() -> None:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    config = Qwen3Config(vocab_size=32, num_key_value_heads=1, attn_implementation="eager", **sizes)
    model = Qwen3ForCausalLM(config)
    use_fast_attention(model)
    assert model.config._attn_implementation == "eager"
