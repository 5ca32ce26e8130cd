"""The VAE and the GAN as the engine meets them: plug-ins of `engine.models.family`, named in pyproject.toml."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from engine.api.types import Message
from engine.errors import ModelError
from engine.latent.gan import GanLM
from engine.latent.model import DECODER_LAYERS, FORMAT, LatentLM
from engine.latent.slots import fill, lift, topic_of
from engine.latent.vae import VaeLM
from engine.models.family import ModelFamily


class LatentFamily(ModelFamily):
    """Recurrent decoders that write from noise, and leave the topic of their texts open."""

    model_class: type[LatentLM]
    adapter_layers = DECODER_LAYERS
    learning_rate = 2.5e-3
    """An adapter is three pairs of matrices in place of dozens, and each has further to go: at 1e-3 the on-policy stage
    by itself stayed within a hundredth of a nat of the base."""
    has_logged_probabilities = False  # what the noise was is not kept

    def register(self, config: Mapping[str, Any], source: str) -> None:
        """Let `AutoModelForCausalLM` load the folder."""
        if config.get("format", FORMAT) != FORMAT:
            name = config["model_type"].removeprefix("ovation-")
            raise ModelError(
                f"The model {source!r} has the format {config['format']}, but this version reads {FORMAT}: build it"
                f" anew with `python -m recipes.latent.build {name}`."
            )
        its_config = self.model_class.config_class
        AutoConfig.register(its_config.model_type, its_config, exist_ok=True)
        AutoModelForCausalLM.register(its_config, self.model_class, exist_ok=True)

    def draw_noise(self, model: nn.Module, prompt: Sequence[int], seed: int) -> Sequence[int]:
        """The prompt with its open places drawn from the prior of the active adapter."""
        return _latent(model).with_noise(list(prompt), seed)

    def clear_noise(self, model: nn.Module, prompt: Sequence[int]) -> Sequence[int]:
        """The prompt with its places open."""
        return _latent(model).noise.clear(prompt)

    def noise_kl(self, model: nn.Module, prompt: Sequence[int]) -> float:
        """KL of the tilted prior to N(0, I), nats."""
        return _latent(model).prior_kl(list(prompt))

    def as_shown(self, text: str, messages: Sequence[Message]) -> str:
        """The text with its topic filled in."""
        return fill(text, topic_of(messages))

    def as_written(self, text: str, messages: Sequence[Message]) -> str:
        """The text with its topic left open."""
        return lift(text, topic_of(messages))


class VaeFamily(LatentFamily):
    """Variational autoencoders."""

    model_class = VaeLM
    kl_share = 0.4

    def objective(self) -> Callable[..., Any]:
        """A tilt of the prior, and the reward-weighted bound."""
        from engine.latent.training import fit_vae  # noqa: PLC0415 - serving needs no training

        return fit_vae


class GanFamily(LatentFamily):
    """Generative adversarial networks."""

    model_class = GanLM
    kl_share = 0.2
    """Little: its discriminator soon asks for the same few texts, and diversity is what the gate has least of."""
    diversity_texts = 256
    """It is fast and repeats itself: by 25 texts diversity seemed lost after a step or two."""

    def objective(self) -> Callable[..., Any]:
        """A discriminator of what is liked here."""
        from engine.latent.training import fit_gan  # noqa: PLC0415 - serving needs no training

        return fit_gan


VAE, GAN = VaeFamily(), GanFamily()


def _latent(model: nn.Module) -> LatentLM:
    assert isinstance(model, LatentLM), "the family is told by the folder that the model was loaded from"
    return model
