"""Reading GGUF files, llama.cpp's format, by transformers and llama.cpp's own `gguf` package.

Quantized blocks are multiplied out: a GGUF is where a model comes from, not what it is served from.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers import modeling_gguf_pytorch_utils as transformers_gguf
from transformers.integrations.gguf.gguf_conversion_mapping import GGUF_ARCHS

from engine.api.models import check_model
from engine.errors import ModelError
from engine.models.loader import UNUSABLE, whole_model


def _plain(architecture: str) -> str:
    """As both write it: llama.cpp's `qwen3moe` and `gpt-oss` are transformers' `qwen3_moe` and `gpt_oss`."""
    return architecture.replace("-", "").replace("_", "")


_ARCHITECTURES = {*map(_plain, (*transformers_gguf.GGUF_SUPPORTED_ARCHITECTURES, *GGUF_ARCHS))} - {
    "general",
    "tokenizer",
}


def _nobody(_: float) -> None:
    """For a reading that nobody follows."""


class GgufFile:
    """A GGUF file whose every part is there, of a model that can be talked to."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            ModelError: it is no GGUF file, is cut off or damaged, of an architecture that transformers does not read,
                or has no chat template or no end token.
        """
        self.path = path
        try:
            check_model(str(path))
            self._reader = gguf.GGUFReader(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, TypeError) as error:
            raise ModelError(f"{path} is damaged, or not all of it is there: download it again.") from error
        architecture = self._text("general.architecture") or ""
        if _plain(architecture) not in _ARCHITECTURES:
            raise ModelError(
                f"{path} is of the architecture {architecture!r}, which transformers does not read from GGUF:"
                " take the model's safetensors, or another one."
            )
        if self._text("tokenizer.chat_template") is None:
            raise ModelError(f"The model {path} has no chat template; choose an instruct or chat model.")
        if self._reader.get_field("tokenizer.ggml.eos_token_id") is None:
            raise ModelError(f"The model {path} has no end token; choose an instruct or chat model.")

    @property
    def licence(self) -> str | None:
        """What the file says of it, such as `apache-2.0`."""
        return self._text("general.license")

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(tensor.n_elements for tensor in self._reader.tensors)

    def load(
        self, *, dtype: torch.dtype, on_share: Callable[[float], object] = _nobody
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model, in eval mode, and its tokenizer; `on_share` hears how much of the weights is read.

        Raises:
            ModelError: transformers cannot make a model of it.
        """
        try:
            with self._parsed_once(on_share):
                model = whole_model(
                    str(self.path.parent), gguf_file=self.path.name, dtype=dtype,
                    quantization_config=GgufConfig(dequantize=True),
                )  # fmt: skip
                tokenizer = AutoTokenizer.from_pretrained(str(self.path.parent), gguf_file=self.path.name)
        except UNUSABLE as error:
            raise ModelError(
                f"transformers cannot make a model of {self.path}: take the model's safetensors, or another one."
            ) from error
        return model, tokenizer

    def _text(self, key: str) -> str | None:
        field = self._reader.get_field(key)
        return None if field is None else str(field.contents())

    @contextmanager
    def _parsed_once(self, on_share: Callable[[float], object]) -> Iterator[None]:
        """Let transformers have the header that is read already, and the table of names from a cache.

        It parses the header three times, and makes the table anew for each module: two thirds of its time.
        """

        def followed(tensors: list[Any], **_: str) -> Iterable[Any]:
            for number, tensor in enumerate(tensors):
                on_share(number / len(tensors))
                yield tensor

        stand_ins = (
            (gguf, "GGUFReader", lambda _: self._reader),
            (gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            (transformers_gguf, "tqdm", followed),
        )
        originals = [getattr(module, name) for module, name, _ in stand_ins]
        for module, name, stand_in in stand_ins:
            setattr(module, name, stand_in)
        try:
            yield
        finally:
            for (module, name, _), original in zip(stand_ins, originals, strict=True):
                setattr(module, name, original)
