"""Converting a GGUF file, once: `python -m engine.convert SOURCE MODELS_DIR`, where SOURCE is what MODEL says.

Prints how far it is, a share a line, and at last the folder (exit 0), or one sentence on stderr (exit 2 where the model
cannot be used, 1 where the disk is at fault, 3 where memory ran out). `--check` only looks whether it could be done.

The folder appears whole or not at all; what an interrupted conversion left is thrown away. Of several processes that
want the same model one converts and the others wait for it: the lock goes with the process, however it ends.
"""

import argparse
import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.conversions import conversion_folder, is_converted, seal
from engine.api.models import is_gguf, resolve_model
from engine.errors import EngineError, ModelError
from engine.process import NO_MEMORY, OUT_OF_MEMORY, PRIVATE, end_with_parent, free_memory, is_out_of_memory

if TYPE_CHECKING:
    from engine.models.gguf_files import GgufFile

_BYTES_A_WEIGHT = 2
"""bfloat16, as most models are published. Half of float32's disk; the few bits of a quantized weight have lost more."""
_MIB = 2**20
_MARGIN_BYTES = 64 * _MIB
"""For the tokenizer, the checksums, and whatever else the disk needs."""
_COPIES = 2
"""Of the weights in memory at once: those read and those of the model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert what is named; returns the exit status."""
    os.umask(PRIVATE)
    parser = argparse.ArgumentParser(prog="python -m engine.convert", description="Convert a GGUF file, once.")
    parser.add_argument("source", help="smollm2, or the path of a GGUF file")
    parser.add_argument("models", type=Path, help="the folder for converted models")
    parser.add_argument("--check", action="store_true", help="only look whether it could be done")
    parser.add_argument("--parent-pid", type=int, help="stop when this parent process has ended")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if options.parent_pid is not None:
        end_with_parent(options.parent_pid)
    try:
        if options.check:
            _check(_file_of(options.source), options.models)
        else:
            sys.stdout.write(f"{convert(options.source, options.models, _tell)}\n")
    except EngineError as error:
        return _complain(str(error), status=2)
    except OSError as error:
        return _complain(f"The model cannot be converted: {error.strerror or error}.", status=1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(NO_MEMORY, status=OUT_OF_MEMORY)
    return 0


def convert(source: str, models_dir: Path, tell: Callable[[float], object] = lambda _: None) -> Path:
    """The folder of the model that MODEL calls `source`, converted now unless it is there already.

    `tell` hears how far it is, as a share.

    Raises:
        ModelError: the file cannot be used.
        OSError: the disk is full, or the folder cannot be written.
    """
    file = _file_of(source)
    folder = conversion_folder(source, file, models_dir)
    with _locked(folder.parent):
        if is_converted(folder):
            return folder
        tell(0.0)
        opened = _check(file, models_dir)
        tell(0.2)
        attempt = folder.with_name(f"{folder.name}.partial")
        for stale in (attempt, folder):
            shutil.rmtree(stale, ignore_errors=True)
        import torch  # noqa: PLC0415 - a wrong name need not wait for it

        model, tokenizer = opened.load(dtype=torch.bfloat16, on_share=lambda share: tell(0.2 + 0.4 * share))
        from engine.models.loader import with_adapter  # noqa: PLC0415 - the same

        model = with_adapter(model, source)
        tell(0.7)
        model.save_pretrained(attempt)
        tokenizer.save_pretrained(attempt)
        tell(0.85)
        if opened.licence is not None:
            (attempt / "README.md").write_text(f"---\nlicense: {opened.licence}\n---\n", encoding="utf-8")
        seal(attempt, source, file)
        attempt.rename(folder)
        tell(1.0)
    return folder


def _file_of(source: str) -> Path:
    location = resolve_model(source)
    if not is_gguf(location):
        raise ModelError(f"The model {source!r} is no GGUF file: it needs no conversion.")
    return Path(location)


def _check(file: Path, models_dir: Path) -> "GgufFile":
    """The file, opened, once it is clear that it can be read and that there is room for it."""
    from engine.models.gguf_files import GgufFile  # noqa: PLC0415 - the same

    opened = GgufFile(file)
    needed = opened.parameters * _BYTES_A_WEIGHT + _MARGIN_BYTES
    free = shutil.disk_usage(next(each for each in (models_dir, *models_dir.absolute().parents) if each.exists())).free
    if free < needed:
        raise ModelError(
            f"Converting {file.name} takes {needed // _MIB} MiB in {models_dir}, where {free // _MIB} MiB are free:"
            " make room, or choose a smaller model."
        )
    needed = opened.parameters * _BYTES_A_WEIGHT * _COPIES
    free = free_memory()
    if free < needed:
        raise ModelError(
            f"Converting {file.name} takes {needed // _MIB} MiB of memory, and {free // _MIB} MiB are free:"
            " free some, or choose a smaller model."
        )
    return opened


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock beside the folder, which is made if it is missing; waits while another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tell(share: float) -> None:
    sys.stdout.write(f"{share:.3f}\n")
    sys.stdout.flush()


def _complain(sentence: str, *, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
