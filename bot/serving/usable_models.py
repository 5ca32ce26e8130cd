"""The models that can be used on this machine, and what each takes of it as far as that has been measured.

What was measured is kept in DATA_DIR/models/measured.json, by what MODEL would say.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CacheNotFound, scan_cache_dir

from bot.common.child_process import ran_out_of_memory
from bot.common.errors import StartError
from bot.common.settings import AUTO, DataSettings, computing_environment
from bot.serving.base_model import chosen, converted
from engine.api.conversions import conversion_folder, converted_models, is_converted, source_of
from engine.api.models import (
    SHIPPED,
    SMOLLM2,
    SMOLLM2_ON_HUB,
    ModelSize,
    check_model,
    is_gguf,
    packaged_smollm2,
    resolve_model,
    size_of,
)
from engine.errors import ModelError
from engine.process import NO_MEMORY

_MEASURED = "measured.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableModel:
    """A model, by what MODEL would say."""

    source: str
    place: str
    """Where it is: `shipped`, `package`, `converted`, `GGUF file`, `folder`, `hub cache` or `hub`."""
    is_chosen: bool
    """Whether it is what the next start takes."""
    size: ModelSize | None
    fault: str | None
    """Why it cannot be used after all."""
    measured: dict[str, Any] | None
    """What `python -m engine.measure` has printed."""


def usable_models(settings: DataSettings) -> list[UsableModel]:
    """Every model that is on this machine as far as Ovation looks: its own, those in the data folder, the hub's cache,
    and MODEL."""
    known, choice = read_measured(settings), chosen(settings, lambda _: None).model
    places = dict(_places(settings))
    return [
        _described(source, place, settings, known.get(source), is_chosen=source == choice)
        for source, place in places.items()
    ]


def _places(settings: DataSettings) -> Iterator[tuple[str, str]]:
    """What MODEL would say, and where that is; of one that comes twice the last place counts."""
    if settings.model != AUTO:
        location = Path(_location(settings.model))
        yield settings.model, "GGUF file" if is_gguf(location.name) else "folder" if location.is_dir() else "hub"
    for name, folder in SHIPPED.items():
        if folder.is_dir():
            yield name, "shipped"
    for file in sorted((*settings.data_dir.glob("*.gguf"), *settings.models_path.glob("*.gguf"))):
        yield str(file), "GGUF file"
    yield from ((repository, "hub cache") for repository in _cached())
    if packaged_smollm2() is not None:
        yield SMOLLM2, "package"
    for folder in converted_models(settings.models_path):
        source = source_of(str(folder))
        yield (source if source == SMOLLM2 or Path(source).is_file() else str(folder)), "converted"


def _location(source: str) -> str:
    try:
        return resolve_model(source)
    except ModelError:
        return source


def _cached() -> Iterator[str]:
    """The hub's models in its cache on this machine that have weights we read."""
    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return
    for repository in sorted(cache.repos, key=lambda each: each.repo_id):
        names = {file.file_name for revision in repository.revisions for file in revision.files}
        if repository.repo_type == "model" and any(name.endswith(".safetensors") for name in names):
            yield SMOLLM2 if repository.repo_id == SMOLLM2_ON_HUB else repository.repo_id


def _described(
    source: str, place: str, settings: DataSettings, measured: dict[str, Any] | None, *, is_chosen: bool
) -> UsableModel:
    fault, size = None, None
    try:
        check_model(source)
        size = size_of(_folder(source, settings) or source)
    except ModelError as error:
        fault, measured = str(error), None
    return UsableModel(source=source, place=place, is_chosen=is_chosen, size=size, fault=fault, measured=measured)


def _folder(source: str, settings: DataSettings) -> str | None:
    """Where a GGUF file's model lies converted; None where it does not."""
    location = resolve_model(source)
    if is_gguf(location):
        folder = conversion_folder(source, Path(location), settings.models_path)
        return str(folder) if is_converted(folder) else None
    return next((str(each) for each in converted_models(settings.models_path) if source == SMOLLM2 == each.name), None)


def read_measured(settings: DataSettings) -> dict[str, Any]:
    """What has been measured, by model; nothing where nothing was, or it cannot be read."""
    try:
        found = json.loads((settings.models_path / _MEASURED).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def measure(source: str, settings: DataSettings) -> None:
    """Measure a model, and keep what came of it; a GGUF file is converted first.

    Raises:
        StartError: it cannot be loaded.
    """
    location = converted(source, settings, lambda _: None)
    command = (sys.executable, "-m", "engine.measure", "--model", location)
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, env=computing_environment()
    )
    lines = done.stderr.strip().splitlines()
    if ran_out_of_memory(done.returncode, lines):
        raise StartError(f"{source} cannot be measured. {NO_MEMORY}", exit_status=1)
    if done.returncode:
        raise StartError(lines[-1] if lines else f"{source} cannot be measured.", exit_status=1)
    known = read_measured(settings) | {source: json.loads(done.stdout)}
    settings.models_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    attempt = settings.models_path / f"{_MEASURED}.{os.getpid()}"
    attempt.write_text(json.dumps(known, indent=1), encoding="utf-8")
    attempt.replace(settings.models_path / _MEASURED)
