"""Where a GGUF file goes when it is converted: a folder `<models>/<fingerprint>/<name>` with a checksum file.

The folder's last part is what the model is called, so that a converted model goes by the same name as its source
everywhere; what stands before it tells two files of one name apart. Torch-free: `engine.convert` does the work.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine.api.models import SMOLLM2, SMOLLM2_ADAPTER, version_name
from engine.errors import ModelError

CHECKSUMS = "conversion.json"
_FORMAT = 1
"""Part of every fingerprint: when a conversion comes to make something else, everything is converted anew."""
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 16


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of one file."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, file: Path) -> "Checksum":
        """Read the whole file."""
        with file.open("rb") as opened:
            return cls(file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What the checksum file of a converted model says."""

    source: str
    """What MODEL said: `smollm2`, or the path of a GGUF file."""
    file: Checksum
    """Of the GGUF file."""
    made: dict[str, Checksum] = field(default_factory=dict)
    """By name, of the files beside the checksum file."""


_CONVERSION = TypeAdapter(Conversion)


def conversion_folder(source: str, file: Path, models_dir: Path) -> Path:
    """Where the model that MODEL calls `source`, a GGUF file, lies converted; nothing need be there yet.

    The fingerprint is of the file's size and of 16 pieces of 64 KiB from its first byte to its last, for a start is
    not to read gigabytes; of `smollm2` also of the adapter that becomes a part of it.

    Raises:
        OSError: the file cannot be read.
    """
    size = file.stat().st_size
    digest = hashlib.sha256(f"{_FORMAT} {size}".encode())
    with file.open("rb") as opened:
        for place in range(_SAMPLES):
            opened.seek(max(size - _SAMPLE_BYTES, 0) * place // (_SAMPLES - 1))
            digest.update(opened.read(_SAMPLE_BYTES))
    if source == SMOLLM2:
        digest.update((SMOLLM2_ADAPTER / "adapter_model.safetensors").read_bytes())
    return models_dir / digest.hexdigest()[:12] / version_name(source)


def is_converted(folder: Path) -> bool:
    """Whether a converted model is there, every file of the size that it was written with."""
    try:
        made = read_conversion(folder).made
        return all((folder / name).stat().st_size == checksum.bytes for name, checksum in made.items())
    except (ModelError, OSError):
        return False


def read_conversion(folder: Path) -> Conversion:
    """The checksum file of a converted model.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    try:
        return _CONVERSION.validate_json((folder / CHECKSUMS).read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder} is no converted model: delete it, and it is converted again.") from error


def verify_conversion(folder: Path) -> None:
    """Read every file of a converted model and compare its checksum.

    Raises:
        ModelError: one is missing or altered.
    """
    for name, checksum in read_conversion(folder).made.items():
        try:
            is_whole = Checksum.of(folder / name) == checksum
        except OSError:
            is_whole = False
        if not is_whole:
            raise ModelError(f"{name} in {folder} is not what was converted: delete the folder, and it is made again.")


def seal(folder: Path, source: str, file: Path) -> None:
    """Write the checksum file of what has just been converted into a folder, and bring it all to the disk."""
    files = sorted(folder.iterdir())
    conversion = Conversion(
        source=source, file=Checksum.of(file), made={each.name: Checksum.of(each) for each in files}
    )
    (folder / CHECKSUMS).write_text(json.dumps(asdict(conversion), indent=1), encoding="utf-8")
    for path in (*files, folder / CHECKSUMS, folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def source_of(location: str) -> str:
    """What MODEL said for a converted model's folder; for anything else what it is."""
    try:
        return read_conversion(Path(location)).source
    except ModelError:
        return location


def converted_models(models_dir: Path) -> list[Path]:
    """The folders of the converted models in a cache that are whole, by name."""
    folders = (file.parent for file in models_dir.glob(f"*/*/{CHECKSUMS}"))
    return sorted(filter(is_converted, folders), key=lambda folder: folder.name)
