"""Tombstones: who asked to be forgotten, and when, in a file beside the database that only grows.

It lies outside the database so that it outlives it: whoever restores an old backup erases again what is older than
these. A line is on disk before anything is erased. Knows pseudonyms and moments, nothing of what is erased.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.durable import sync
from storage.errors import TombstonesUnusable


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Everything of a person up to and including a moment is forgotten."""

    person: str
    at: datetime


def append(file: Path, tombstone: Tombstone) -> None:
    """Add a tombstone; it is on disk when this returns.

    Raises:
        TombstonesUnusable: the file cannot be written; nothing may be erased then.
    """
    line = json.dumps({"person": tombstone.person, "at": tombstone.at.astimezone(UTC).isoformat()})
    try:
        is_new = not file.exists()
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as handle:
            _end_last_line(handle.read(), descriptor)
            handle.seek(0, os.SEEK_END)
            handle.write(line.encode() + b"\n")
            handle.flush()
            os.fsync(descriptor)
        if is_new:
            sync(file.parent)
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be written ({error.strerror}): free or repair the disk.") from error


def read(file: Path) -> list[Tombstone]:
    """Every tombstone, oldest first; none where there is no file.

    Raises:
        TombstonesUnusable: a line is damaged, so that nobody can say who is to be forgotten.
    """
    try:
        *lines, tail = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be read ({error.strerror}): make it readable for the bot.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        tombstone = _parse(line)
        if tombstone is None:
            raise TombstonesUnusable(f"Line {number} of {file} is damaged: repair it, it says who is to be forgotten.")
        found.append(tombstone)
    unended = _parse(tail)  # a line without its end was cut off by a crash, before anybody relied on it
    return found if unended is None else [*found, unended]


def _end_last_line(content: bytes, descriptor: int) -> None:
    """Cut off a torn last line, or end a whole one."""
    tail = content.rpartition(b"\n")[2]
    if tail and _parse(tail) is None:
        os.ftruncate(descriptor, len(content) - len(tail))
    elif tail:
        os.pwrite(descriptor, b"\n", len(content))


def _parse(line: bytes) -> Tombstone | None:
    try:
        fields = json.loads(line)
        person, at = fields["person"], datetime.fromisoformat(fields["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return Tombstone(person, at.astimezone(UTC)) if isinstance(person, str) and at.tzinfo is not None else None
