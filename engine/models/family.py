"""What the engine asks about a kind of model. `ModelFamily` answers for ordinary language models, a plug-in for others.

A distribution plugs a family in by an entry point of the group `ovation.models`: its name is the `model_type` in
config.json, its value an instance of a subclass. `engine.latent` is one: models that write from noise.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from torch import nn
from transformers import PretrainedConfig
from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

from engine.api.types import Message

GROUP = "ovation.models"


class ModelFamily:
    """How models of one kind are served, trained and judged; everything here is what an ordinary one needs."""

    adapter_layers: str | list[str] = "all-linear"  # where LoRA goes, as PEFT's `target_modules`
    learning_rate: float | None = None  # of an adapter; None: by the model's size
    kl_share = 0.1
    """Of the KL budget, for the rated texts where the on-policy stage follows: it makes more of every nat."""
    diversity_texts: int | None = None
    """How many texts tell how diverse it still is while it is trained; None: one for each of the probing prompts."""
    has_logged_probabilities = True
    """Whether the probability of a text that was served can be computed afterwards."""

    def register(self, config: Mapping[str, Any], source: str) -> None:
        """Make its classes known to transformers, before the folder with this config.json is loaded.

        Raises:
            ModelError: the folder cannot be loaded by this version of the code.
        """

    def draw_noise(self, model: nn.Module, prompt: Sequence[int], seed: int) -> Sequence[int]:
        """The prompt with the noise that the text is written from, by the active adapter; the seed decides it."""
        return prompt

    def clear_noise(self, model: nn.Module, prompt: Sequence[int]) -> Sequence[int]:
        """The prompt without any noise."""
        return prompt

    def noise_kl(self, model: nn.Module, prompt: Sequence[int]) -> float:
        """KL of the active adapter's noise to the base's, nats."""
        return 0.0

    def as_shown(self, text: str, messages: Sequence[Message]) -> str:
        """What people read where the model writes `text`, or a piece of one, in answer to `messages`."""
        return text

    def as_written(self, text: str, messages: Sequence[Message]) -> str:
        """What the model would have written for people to read `text`; undoes `as_shown`."""
        return text

    def objective(self) -> Callable[..., Any] | None:
        """What fits a fresh adapter to rated texts, an `engine.training.stage.Objective`; None: the loss of the run.

        Imported by this call and not before, for serving imports no training.
        """
        return None


ORDINARY = ModelFamily()


def family_of(location: str, source: str) -> ModelFamily:
    """The family of the model at `location`, a folder or a hub id, which people call `source`.

    Ordinary, where transformers knows its type by itself, or nobody does.

    Raises:
        OSError, ValueError: it has no config.json, or none that can be read.
        ModelError: as `ModelFamily.register`.
    """
    config, _ = PretrainedConfig.get_config_dict(location)
    model_type = str(config.get("model_type"))
    if model_type in CONFIG_MAPPING_NAMES:  # most are: looking through what is installed takes a while
        return ORDINARY
    for plug in entry_points(group="ovation.models", name=model_type):
        family: ModelFamily = plug.load()
        family.register(config, source)
        return family
    return ORDINARY
