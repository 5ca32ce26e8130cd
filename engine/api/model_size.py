"""How large a model is, by the headers of its safetensors files. Torch-free; reads no weights."""

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from engine.api.sources import find_source


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a model's weights come to."""

    parameters: int
    megabytes: float
    """Of the files, a million bytes each."""


def size_of(source: str) -> ModelSize | None:
    """The size of `starter` and the like, a folder, or a hub id that is on this machine; None where none is found.

    Raises:
        ModelError: there is no such model.
    """
    folder = _folder(find_source(source))
    files = [] if folder is None else sorted(folder.glob("*.safetensors"))
    try:
        parameters = sum(_parameters(file) for file in files)
        return ModelSize(parameters, sum(file.stat().st_size for file in files) / 1e6) if files else None
    except (OSError, SafetensorError):
        return None


def _folder(location: str) -> Path | None:
    if Path(location).is_dir():
        return Path(location)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only a model from the hub needs it
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(location, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _parameters(file: Path) -> int:
    with safe_open(file, framework="numpy") as opened:
        return sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118 - no mapping
