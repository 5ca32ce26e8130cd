"""Loading a causal language model and its tokenizer: the starter, a folder, or a hub id.

Safetensors only, never remote code. Knows nothing of adapters, requests or training.
"""

from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from engine.api.models import STARTER_FOLDER, find_source, version_name
from engine.errors import ModelError
from engine.models import attention, quantization
from engine.models.family import ORDINARY, ModelFamily, family_of
from engine.process import return_memory

__all__ = ["STARTER_FOLDER", "Base", "best_device", "load_base", "load_to_serve", "version_name"]

_BATCHABLE_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True, slots=True)
class Base:
    """A base model ready to run, in eval mode (as `from_pretrained` leaves it), on `model.device`."""

    name: str
    """What requests call it, e.g. `starter` or `qwen3-0.6b`."""
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: ModelFamily = ORDINARY

    @property
    def pad_id(self) -> int:
        """What fills rows up to one length."""
        return int(self.tokenizer.pad_token_id)

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        return int(self.model.config.get_text_config().max_position_embeddings)

    @property
    def end_tokens(self) -> frozenset[int]:
        """The ids that end an answer: the generation config's, as in `model.generate`, and the tokenizer's."""
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset(token for token in [*listed, self.tokenizer.eos_token_id] if token is not None)


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_to_serve(source: str, *, in_int8: bool = False) -> Base:
    """Load a model as `load_base` does, and make its steps cheap; such a model cannot be trained.

    With `in_int8`, weights take a quarter of float32's memory, and the texts are no longer exactly the model's.
    """
    base = load_base(source)
    attention.use(base.model)
    if in_int8:
        quantization.quantize(base.model)
    else:
        quantization.pack(base.model)
    if base.model.device.type == "cpu":
        for parameter in base.model.parameters():  # the few that are left would keep the whole file mapped
            parameter.data = parameter.data.clone()
        return_memory()
    return base


def load_base(source: str, *, device: torch.device | None = None) -> Base:
    """Load `starter`, a folder with a Hugging Face model, or a hub id.

    The weights are bfloat16 on CUDA and float32 on the CPU.

    Raises:
        ModelError: there is no such model, it has no safetensors, no chat template or no fast tokenizer, or it
            keeps another state than keys and values between tokens.
    """
    device = device or best_device()
    location = find_source(source)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        family = family_of(location, source)
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            location, use_safetensors=True, trust_remote_code=False, dtype=dtype
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"The model {source!r} cannot be loaded: give MODEL=starter, a folder with config.json,"
            " a tokenizer and .safetensors weights, or a hub id that this machine can reach."
        ) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"The model {source!r} has no chat template; choose an instruct or chat model.")
    if not tokenizer.is_fast:
        raise ModelError(f"The model {source!r} has no tokenizer.json; choose a model that ships one.")
    layers = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    if not layers <= _BATCHABLE_LAYERS:
        raise ModelError(
            f"The model {source!r} has {', '.join(sorted(layers))} layers; choose one with attention only."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    model.to(device)  # type: ignore[arg-type]  # transformers' wrapper hides `self` from mypy
    return Base(name=version_name(source), model=model, tokenizer=tokenizer, family=family)
