"""The base model: which one it is where MODEL does not say, and making it ready before an engine or a trainer starts.

A GGUF file is converted by `python -m engine.convert` into DATA_DIR/models, once. From then on MODEL is that folder,
for whoever loads it; it is called as its source is.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar, cast

from bot.common.child_process import ran_out_of_memory
from bot.common.errors import StartError
from bot.common.settings import AUTO, DataSettings, Settings, computing_environment
from engine.api.conversions import conversion_folder, converted_models, is_converted, verify_conversion
from engine.api.models import INSTALL_SMOLLM2, SMOLLM2, STARTER, check_model, is_gguf, packaged_smollm2, resolve_model
from engine.errors import ModelError
from engine.process import NO_MEMORY
from storage.db.database import open_for_reading
from storage.tables import versions

logger = logging.getLogger(__name__)


_GPU = Path("/proc/driver/nvidia")
"""Where there is one, its memory counts, which the engine knows."""
_FEWEST_BYTES = 2
"""A weight in bfloat16; the engine looks again once it knows what it loads."""

S = TypeVar("S", bound=DataSettings)


def chosen(settings: S, say: Callable[[str], object] = logger.info) -> S:
    """The settings with a model in the place of `auto`; `say` is told which, and why (decision 29).

    SmolLM2 where this machine has it, unless what serves in the data folder has learned on the starter, or a server
    elsewhere writes.

    Raises:
        StorageError: the data folder's database cannot be read.
    """
    if settings.model != AUTO:
        return settings
    learned = None
    if settings.database_path.exists():
        with closing(open_for_reading(settings.database_path)) as connection:
            learned = versions.learned_base(connection)
    if settings.engine_url is not None:
        say("MODEL is not set, so nights train for the starter: let it name what the server at ENGINE_URL has.")
    elif learned == STARTER:
        say(
            "MODEL is not set, and the version that serves has learned on the starter, so the starter stays:"
            f" MODEL={SMOLLM2} writes better, and begins to learn anew."
        )
    elif packaged_smollm2() or _converted_smollm2(settings):
        say("MODEL is not set: SmolLM2-135M-Instruct writes.")
        return _with(settings, model=SMOLLM2)
    else:
        say(
            "MODEL is not set and SmolLM2 is not on this machine, so the starter writes, which knows a few kinds of"
            f" short texts only: run `{INSTALL_SMOLLM2}`, or set MODEL."
        )
    return _with(settings, model=STARTER)


def ready(settings: S, say: Callable[[str], object] = logger.info, show: Callable[[float], object] | None = None) -> S:
    """The settings with models that can be loaded at once: chosen, and converted if they are GGUF files.

    `show` hears how far a conversion is, as a share. With ENGINE_URL a model that is only there is left as it is.

    Raises:
        StartError: there is no such model, or it cannot be used.
        StorageError: as `chosen`.
    """
    settings = chosen(settings, say)
    changes = {"model": converted(settings.model, settings, say, show)} if _is_ours(settings) else {}
    if isinstance(settings, Settings) and settings.guard_model is not None:
        changes["guard_model"] = converted(settings.guard_model, settings, say, show)
    return _with(settings, **changes)


def converted(
    source: str, settings: DataSettings, say: Callable[[str], object], show: Callable[[float], object] | None = None
) -> str:
    """What to load for `source`: the folder of a GGUF file, converted now if need be; anything else as it is.

    Raises:
        StartError: there is no such model, or it cannot be used.
    """
    try:
        check_model(source, bytes_a_weight=0 if _GPU.exists() else _FEWEST_BYTES)
        location = resolve_model(source)
    except ModelError as error:
        raise StartError(str(error)) from error
    if not is_gguf(location):
        kept = _converted_smollm2(settings) if source == SMOLLM2 else None
        return source if kept is None else str(kept.absolute())
    try:
        folder = conversion_folder(source, Path(location), settings.models_path)
    except OSError as error:
        raise StartError(f"{location} cannot be read: {error.strerror}.") from error
    if not is_converted(folder):
        say(f"{Path(location).name} is converted, once, into {settings.models_path}: a minute, for large models more.")
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run_converter(source, settings.models_path, show=show)
    return str(folder.absolute())


def examined(settings: DataSettings) -> str:
    """What a start would find of the model, in a sentence; nothing is converted, and a conversion is read whole.

    Raises:
        StartError: it cannot be used, and why.
        StorageError: as `chosen`.
    """
    said: list[str] = []
    settings = chosen(settings, said.append)
    if not _is_ours(settings):
        return f"The server at ENGINE_URL has {settings.model}; this machine has not, so no night can train it."
    try:
        check_model(settings.model, bytes_a_weight=0 if _GPU.exists() else _FEWEST_BYTES)
        location = resolve_model(settings.model)
        if is_gguf(location):
            folder = conversion_folder(settings.model, Path(location), settings.models_path)
            if folder.exists():
                verify_conversion(folder)
            else:
                _run_converter(settings.model, settings.models_path, "--check")
                said.append(f"{location} is converted at the next start.")
    except (ModelError, OSError) as error:
        raise StartError(str(error)) from error
    return " ".join(said) or f"{settings.model} is there."


def _with(settings: S, **changes: str) -> S:
    """A copy in which nothing is kept that was derived from the old values, and unset is what nobody has set."""
    return cast("S", type(settings).model_construct(settings.model_fields_set, **dict(settings) | changes))


def _is_ours(settings: DataSettings) -> bool:
    """Whether the model is loaded here; the server at ENGINE_URL may serve one that this machine has not."""
    if settings.engine_url is None:
        return True
    try:
        resolve_model(settings.model)
    except ModelError:
        return False
    return True


def _converted_smollm2(settings: DataSettings) -> Path | None:
    """It stays usable when the package is gone, and where the hub is out of reach."""
    return next((folder for folder in converted_models(settings.models_path) if folder.name == SMOLLM2), None)


def _run_converter(source: str, models: Path, *options: str, show: Callable[[float], object] | None = None) -> None:
    """Run `engine.convert` to its end; it ends with this process.

    Raises:
        StartError: it says why it cannot be done.
    """
    command = (sys.executable, "-m", "engine.convert", source, str(models), "--parent-pid", str(os.getpid()), *options)
    # A file (in memory: there may be no folder for others), not a pipe: what is said there may be more than a pipe
    # holds, and nobody reads it before the end.
    with os.fdopen(os.memfd_create("said"), "w+", encoding="utf-8", errors="replace") as said_there:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said_there, encoding="utf-8", errors="replace",
            start_new_session=True,
            env=computing_environment(),
        ) as child:  # fmt: skip
            assert child.stdout is not None, "it is a pipe"
            for line in child.stdout:
                if show is not None and line[0].isdigit():
                    show(float(line))
        said_there.seek(0)
        lines = said_there.read().strip().splitlines()
    status = child.returncode
    if ran_out_of_memory(status, lines):
        raise StartError(f"The model cannot be converted. {NO_MEMORY}", exit_status=1)
    if status:
        said = lines[-1] if lines else f"The conversion ended with status {status}."
        raise StartError(said, exit_status=2 if status == 2 else 1)
