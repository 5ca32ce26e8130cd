"""Versions on disk: folders with an adapter and a manifest, published whole or not at all, verified before use.

A version folder is flat and holds only `.safetensors`, `.json` and `.md` files, one of them `MANIFEST.json` with the
SHA-256 of every other, one the version's card. A kill at any moment leaves the old state or the new one, plus perhaps
an attempt folder that `sweep` removes.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from engine.api.models import STARTER_FOLDER, resolve_model, version_name
from engine.errors import ModelError
from engine.foreign_json import read_json
from engine.runs.run_dir import Check, RunReport

MANIFEST = "MANIFEST.json"
CARD_FILE = "card.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ALLOWED_SUFFIXES = frozenset({".safetensors", ".json", ".md"})

_ATTEMPT_PREFIX = ".attempt-"
_FORMAT = 1
_MOST_MANIFEST_BYTES = 1 << 20
_STARTER_LICENCE = "Apache-2.0"
_LICENCE = re.compile(r"^---\n(?:.*\n)*?license:\s*[\"']?([\w.\- ]+?)[\"']?\s*\n(?:.*\n)*?---", re.MULTILINE)


def check_name(name: str) -> str:
    """Return `name`; ModelError if a version may not have it."""
    if not NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot name a version: use 1 to 64 small letters, digits, dots, dashes and underscores,"
            " beginning with a letter or digit."
        )
    return name


def publish(source: Path, versions_dir: Path, name: str) -> Path:
    """Copy the adapter folder `source` to `versions_dir/name`, atomically and durably; return the new folder.

    Publishing the same files under the same name again changes nothing. `source` stays as it is.

    Raises:
        ModelError: the name or a file is not allowed, or the name is taken by other files.
    """
    target = versions_dir / check_name(name)
    files = [file for file in _files(source) if file != MANIFEST]
    if not any(file.endswith(".safetensors") for file in files):
        raise ModelError(f"{source} holds no .safetensors file, so there is nothing to publish.")
    versions_dir.mkdir(parents=True, exist_ok=True)
    attempt = versions_dir / f"{_ATTEMPT_PREFIX}{uuid.uuid4().hex}"
    attempt.mkdir()
    try:
        for file in files:
            shutil.copyfile(source / file, attempt / file)
            _fsync(attempt / file)
        hashes = {file: _sha256(attempt / file) for file in files}
        manifest = {"format": _FORMAT, "sha256": hashes}
        (attempt / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        _fsync(attempt / MANIFEST)
        _fsync(attempt)
        try:
            attempt.rename(target)
        except OSError as error:  # the name is taken: by the same files, as after a retry, or by others
            if not target.exists():
                raise
            if verify(target) != _content_hash(hashes):
                raise ModelError(f"The version {target.name} exists with other files; choose a new name.") from error
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    _fsync(versions_dir)
    return target


def verify(folder: Path) -> str:
    """Check every file of a version against its manifest; return the version's content hash (hex SHA-256).

    Raises:
        ModelError: a file is missing, extra, altered, a link, or of a kind that a version may not hold.
    """
    try:
        listed = _read_manifest(folder)
        present = set(_files(folder)) - {MANIFEST}
        for difference, what in ((listed.keys() - present, "misses"), (present - listed.keys(), "has the extra file")):
            if difference:
                raise ModelError(f"The version {folder.name} {what} {min(difference)}; publish it again.")
        for file, expected in listed.items():
            if _sha256(folder / file) != expected:
                raise ModelError(f"{file} of the version {folder.name} is not what was published; publish it again.")
    except OSError as error:
        raise ModelError(f"The version {folder.name} cannot be read: {error.strerror or error}.") from error
    return _content_hash(listed)


def locate(path: Path, within: Path) -> Path:
    """The resolved `path` of a version, which must lie inside `within` and be reached without links.

    Raises:
        ModelError: it lies elsewhere, is a link, or is no folder.
    """
    lexical = Path(os.path.normpath(Path.cwd() / path))
    try:
        is_inside = not lexical.is_symlink() and lexical.is_dir() and lexical.resolve().parent == within.resolve()
    except OSError:  # a name that is too long, or a folder that we may not look into
        is_inside = False
    if not is_inside:
        raise ModelError(f"{path} is not a version folder directly inside {within}.")
    return lexical.resolve()


def remove(folder: Path) -> None:
    """Delete a version: it vanishes at once, then its files go. A version that is not there is no error.

    Raises:
        ModelError: the folder is a link, or its name is not that of a version.
    """
    check_name(folder.name)
    if folder.is_symlink():
        raise ModelError(f"{folder} is a link, not a version; remove the link by hand.")
    doomed = folder.with_name(f"{_ATTEMPT_PREFIX}{uuid.uuid4().hex}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    _fsync(folder.parent)
    shutil.rmtree(doomed)


def sweep(versions_dir: Path) -> int:
    """Delete what killed publications left behind and return how many; call it while nobody publishes."""
    leftovers = list(versions_dir.glob(f"{_ATTEMPT_PREFIX}*"))
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True)  # what cannot be deleted now is met again
    return len(leftovers)


def _files(folder: Path) -> list[str]:
    """The names of the folder's files, sorted; anything but plain files of the allowed kinds is refused."""
    if folder.is_symlink() or not folder.is_dir():
        raise ModelError(f"{folder} is not a folder.")
    entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.is_symlink() or not entry.is_file() or entry.suffix not in ALLOWED_SUFFIXES:
            raise ModelError(
                f"{folder} may hold only plain .safetensors, .json and .md files, but it holds {entry.name}."
            )
    return [entry.name for entry in entries]


def _read_manifest(folder: Path) -> dict[str, str]:
    """File name -> hex SHA-256."""
    if MANIFEST not in _files(folder):
        raise ModelError(f"{folder} has no {MANIFEST}; publish the adapter with engine.runs.versions.publish first.")
    try:
        manifest: Any = read_json((folder / MANIFEST).read_bytes(), max_bytes=_MOST_MANIFEST_BYTES)
        files = manifest["sha256"]
        if manifest["format"] != _FORMAT:
            raise ValueError("another format")
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The {MANIFEST} of the version {folder.name} cannot be read; publish it again.") from error
    if not isinstance(files, dict) or not files:
        raise ModelError(f"The {MANIFEST} of the version {folder.name} lists no files; publish it again.")
    return files


def _content_hash(hashes: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """Where a version comes from and what the gate measured, for whoever asks. It names nobody and no text."""

    base: str
    licence: str | None  # of the base model, as its own card says; None where it says nothing
    run: int
    made_at: str  # ISO 8601, UTC
    objective: str
    consent_text: int  # the version of the consent text that those who taught it have agreed to
    counts: dict[str, int] = field(default_factory=dict)
    """generations, ratings, raters, chats, likes, dislikes and more, of the run's data card."""
    gain: float = 0.0  # how much more its texts should please, as a chance of a like
    probability: float = 0.0  # that it is better than the version before
    checks: tuple[Check, ...] = ()


_CARD = TypeAdapter(VersionCard)


def make_card(
    report: RunReport, *, model: str, run: int, made_at: str, objective: str, consent_text: int
) -> VersionCard:
    """The card of what a run has made."""
    numbers = report.reason.numbers
    return VersionCard(
        base=version_name(model), licence=licence_of(model), run=run, made_at=made_at, objective=objective,
        consent_text=consent_text, counts=report.counts, gain=numbers.get("gain", 0.0),
        probability=numbers.get("probability", 0.0),
        checks=tuple(check for check in report.checks if not check.name.startswith("chat")),
    )  # fmt: skip


def write_card(folder: Path, card: VersionCard) -> None:
    """Put a card into an adapter's folder, before it is published."""
    (folder / CARD_FILE).write_bytes(_CARD.dump_json(card, indent=2) + b"\n")


def read_card(folder: Path) -> VersionCard | None:
    """A version's card; None where it has none that can be read."""
    try:
        return _CARD.validate_json((folder / CARD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def licence_of(model: str) -> str | None:
    """The licence that a model's own README names in its front matter; None where there is none."""
    try:
        source = resolve_model(model)
    except ModelError:
        return None
    if source == str(STARTER_FOLDER):
        return _STARTER_LICENCE
    file = Path(source) / "README.md"
    if not Path(source).is_dir():
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only a model from the hub needs it

        cached = try_to_load_from_cache(source, "README.md")
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    try:
        found = _LICENCE.search(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else found[1].strip()
