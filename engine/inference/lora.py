"""LoRA adapters side by side over one copy of the base's weights, one of them (or none) active at a time.

PEFT costs a good part of a second, so it is imported with the first adapter. Of an adapter's config only the fields of
`_TAKEN` are believed, so that a folder can choose shapes and places but cannot make PEFT import, initialise or replace
anything.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from engine.errors import EngineUnavailable, ModelError, first_problem
from engine.foreign_json import read_json
from engine.inference.batch import can_write
from engine.models.family import ORDINARY, ModelFamily
from engine.process import NO_MEMORY, is_out_of_memory

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

logger = logging.getLogger(__name__)

_CANARY_TOKENS = 8
_MOST_CONFIG_BYTES = 1 << 20
_MOST_SHOWN = 200
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=256)]
"""Of a module, or the end of one. PEFT reads a string in the place of a list, and every key of a pattern, as a regular
expression, which may take for ever."""
_Names = Annotated[list[_Name], Field(max_length=8192)]
_Rank = Annotated[int, Field(ge=1, le=4096)]
_Alpha = Annotated[float, Field(gt=0, le=1e6, strict=False)]


class _Taken(BaseModel):
    """The fields of an adapter's config that are believed, as PEFT writes them for plain LoRA."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    r: _Rank
    lora_alpha: _Alpha = 8.0
    target_modules: Annotated[_Names, Field(min_length=1)]
    exclude_modules: _Names | None = None
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    layers_to_transform: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=8192)] | int | None = None
    layers_pattern: Annotated[list[_Name], Field(max_length=64)] | _Name | None = None
    rank_pattern: Annotated[dict[_Name, _Rank], Field(max_length=8192)] | None = None
    alpha_pattern: Annotated[dict[_Name, _Alpha], Field(max_length=8192)] | None = None


_TAKEN = tuple(_Taken.model_fields)
_IGNORED = frozenset({
    "peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version",
    "runtime_config", "bias", "lora_dropout", "ensure_weight_tying", "megatron_core", "qalora_group_size",
    "init_lora_weights", "loftq_config", "corda_config", "eva_config", "lora_ga_config",
})  # fmt: skip
"""About training, about the first values of weights that are then read from the file, or about nothing."""


class LoadedAdapters:
    """The adapters in one model's memory, by keys that this class gives out. For one thread."""

    def __init__(self, model: PreTrainedModel, family: ModelFamily = ORDINARY) -> None:
        self._model = model
        self._family = family
        self._peft: PeftModel | None = None  # made with the first adapter
        self._layers: list[Any] = []
        self._active: str | None = None
        self._count = 0
        self.retired: set[str] = set()
        """Those to be freed by `free_retired`."""

    def load(self, folder: Path, canary_prompt: Sequence[int]) -> str:
        """Read the adapter in `folder`, whose manifest the caller has verified, and return its key.

        It is inactive, and has written a few tokens of an answer to the prompt.

        Raises:
            ModelError: the files are damaged, not numbers, made for another model, or not plain LoRA; or what it
                computes are not numbers.
            EngineUnavailable: there is no memory for it now.
        """
        config = read_config(folder)
        self._count += 1
        key = f"adapter{self._count}"
        try:
            try:
                self._add(key, config, folder)
            finally:
                self._collect_layers()
        except Exception as error:  # whatever PEFT and torch raise for odd files
            self._delete(key)
            if is_out_of_memory(error):
                raise EngineUnavailable(NO_MEMORY) from error
            logger.warning("The adapter %s is refused: %s", folder.name, error)
            raise ModelError(
                f"The adapter {folder.name} is damaged or does not fit the base; train it anew."
            ) from error
        self.activate(key)
        is_sound = can_write(self._model, canary_prompt, tokens=_CANARY_TOKENS, family=self._family)
        self.activate(None)
        if not is_sound:
            self._delete(key)
            raise ModelError(f"The adapter {folder.name} cannot write, or not with numbers; train it anew.")
        return key

    def activate(self, key: str | None) -> None:
        """Let the next forward pass use one adapter; None: the base alone."""
        if key != self._active:
            self._switch(key)

    def free_retired(self, used: set[str | None]) -> None:
        """Free the retired ones that are not among the used."""
        for key in self.retired - used:
            self._delete(key)
        self.retired &= used

    def _add(self, key: str, config: "LoraConfig", folder: Path) -> None:
        from peft import PeftModel  # noqa: PLC0415

        _check_weights(folder, config)
        if self._peft is None:
            self._peft = PeftModel(self._model, config, adapter_name=key, autocast_adapter_dtype=False)
        else:
            self._peft.add_adapter(key, config, autocast_adapter_dtype=False)
        device = str(self._model.device)
        result = self._peft.load_adapter(folder, key, torch_device=device, autocast_adapter_dtype=False)
        if strangers := [*result.missing_keys, *result.unexpected_keys]:
            raise ValueError(f"{len(strangers)} weights are missing or unknown, first {strangers[0]}")

    def _collect_layers(self) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

        self._layers = [module for module in self._model.modules() if isinstance(module, BaseTunerLayer)]
        self._switch(None)

    def _switch(self, key: str | None) -> None:
        # PEFT's own calls also touch every weight's requires_grad, which makes a switch many times as slow.
        for layer in self._layers:
            layer._disable_adapters = key is None
            layer._active_adapter = [] if key is None else [key]
        self._active = key

    def _delete(self, key: str) -> None:
        """Free an adapter's memory; one that is not there is no error."""
        self.activate(None)
        if self._peft is not None and key in self._peft.peft_config:
            self._peft.delete_adapter(key)


def read_config(folder: Path) -> "LoraConfig":
    """What is believed of an adapter's config; ModelError if it is not of plain LoRA, by plain names."""
    from peft import LoraConfig  # noqa: PLC0415

    try:
        raw: Any = read_json((folder / "adapter_config.json").read_bytes(), max_bytes=_MOST_CONFIG_BYTES, strict=True)
        foreign = [field for field, value in raw.items() if value and field not in _IGNORED.union(_TAKEN)]
        if raw["peft_type"] != "LORA" or raw.get("bias", "none") != "none" or foreign:
            shown = ", ".join(foreign)[:_MOST_SHOWN]
            raise ModelError(f"The adapter {folder.name} is not plain LoRA ({shown}); only plain LoRA can be served.")
        taken = _Taken.model_validate({field: raw[field] for field in _TAKEN if field in raw})
        return LoraConfig(task_type="CAUSAL_LM", inference_mode=True, **taken.model_dump(exclude_none=True))
    except ValidationError as error:
        problem = first_problem(error, "it")[:_MOST_SHOWN]
        raise ModelError(
            f"The adapter_config.json of {folder.name} is not as PEFT writes it for plain LoRA ({problem}):"
            " name modules in lists, by plain names."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The adapter_config.json of {folder.name} cannot be read; publish it again.") from error


def _check_weights(folder: Path, config: "LoraConfig") -> None:
    """Refuse what PEFT would take: weights that are no numbers, a rank that fills the memory, weights in a pickle."""
    weights = load_file(folder / "adapter_model.safetensors")
    if strangers := [name for name, weight in weights.items() if not torch.isfinite(weight).all()]:
        raise ValueError(f"{len(strangers)} weights are not finite, first {strangers[0]}")
    ranks = [length for name, weight in weights.items() if "_A" in name for length in weight.shape[:1]]
    asked = {config.r, *(config.rank_pattern or {}).values()}
    if max(asked) > max(ranks, default=0):
        raise ValueError("the rank is higher than that of every weight")
