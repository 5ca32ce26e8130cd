"""The small generators among transformers' models. Knows their classes; knows no serving and no training."""

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM

from engine.errors import ModelError
from engine.latent.gan import GanConfig, GanLM
from engine.latent.model import FORMAT
from engine.latent.vae import VaeConfig, VaeLM


def register(config: Mapping[str, Any], source: str) -> None:
    """Let `AutoModelForCausalLM` load their folders, of which `config` is one's config.json.

    Raises:
        ModelError: the folder was written by another version of this code.
    """
    for its_config, model in ((VaeConfig, VaeLM), (GanConfig, GanLM)):
        AutoConfig.register(its_config.model_type, its_config, exist_ok=True)
        AutoModelForCausalLM.register(its_config, model, exist_ok=True)
    if config.get("format", FORMAT) != FORMAT:
        name = config["model_type"].removeprefix("ovation-")
        raise ModelError(
            f"The model {source!r} has the format {config['format']}, but this version reads {FORMAT}: build it anew"
            f" with `python -m recipes.latent.build {name}`."
        )
