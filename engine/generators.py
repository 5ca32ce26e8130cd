"""The small generators among transformers' models, and how their texts hold a topic.

A prompt's topic stays open in what they write (`starter.skeletons`): it is what the first message of a person says, and
is filled in where the text becomes words. Knows models' classes and messages; knows no serving and no training.
"""

from collections.abc import Sequence

from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from engine.chat import Message
from engine.errors import ModelError
from engine.gan import GanConfig, GanLM
from engine.latent_lm import FORMAT, LatentConfig
from engine.vae import VaeConfig, VaeLM


def register() -> None:
    """Let `AutoModelForCausalLM` load their folders."""
    for config, model in ((VaeConfig, VaeLM), (GanConfig, GanLM)):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)


def check_format(config: PretrainedConfig, source: str) -> None:
    """Raises ModelError if a generator's folder was written by another version of this code."""
    if isinstance(config, LatentConfig) and config.format != FORMAT:
        raise ModelError(
            f"The model {source!r} has the format {config.format}, but this version reads {FORMAT}: build it anew with"
            f" `python -m engine.starter.build_latent {config.model_type.removeprefix('ovation-')}`."
        )


def topic_of(messages: Sequence[Message]) -> str:
    """What a conversation is about: the first message of a person."""
    return next((message.content.strip() for message in messages if message.role == "user"), "")
