"""Tombstones: who asked to be forgotten, and when, in a file beside the database that only grows.

It lies outside the database so that it outlives it: whoever restores an old backup erases again what is older than
these. A line is on disk before anything is erased. Knows pseudonyms and moments, nothing of what is erased.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage import journal
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
        journal.append(file, line.encode(), _is_whole)
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be written ({error.strerror}): free or repair the disk.") from error


def read(file: Path) -> list[Tombstone]:
    """Every tombstone, oldest first; none where there is no file.

    Raises:
        TombstonesUnusable: a line is damaged, so that nobody can say who is to be forgotten.
    """
    try:
        lines = journal.lines(file, _is_whole)
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be read ({error.strerror}): make it readable for the bot.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        tombstone = _parse(line)
        if tombstone is None:
            raise TombstonesUnusable(f"Line {number} of {file} is damaged: repair it, it says who is to be forgotten.")
        found.append(tombstone)
    return found


def _is_whole(line: bytes) -> bool:
    return _parse(line) is not None


def _parse(line: bytes) -> Tombstone | None:
    try:
        fields = json.loads(line)
        person, at = fields["person"], datetime.fromisoformat(fields["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return Tombstone(person, at.astimezone(UTC)) if isinstance(person, str) and at.tzinfo is not None else None
