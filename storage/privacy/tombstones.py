"""Tombstones: who asked to be forgotten, and when, in a file beside the database that only grows.

It lies outside the database so that it outlives it: whoever restores an old backup erases again what is older than
these. A line is on disk before anything is erased, and a second one says when it is done, so that a start can end what
a crash cut off.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.db.errors import TombstonesUnusable
from storage.db.files import append_line, read_lines


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Everything of a person up to and including a moment is forgotten."""

    person: str
    at: datetime
    is_done: bool = False
    """Whether the database has been through it."""


def append(file: Path, tombstone: Tombstone) -> None:
    """Add a tombstone; it is on disk when this returns.

    Raises:
        TombstonesUnusable: the file cannot be written; nothing may be erased then.
    """
    fields = {"person": tombstone.person, "at": tombstone.at.astimezone(UTC).isoformat(), "is_done": tombstone.is_done}
    try:
        append_line(file, json.dumps(fields).encode(), _is_whole)
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be written ({error.strerror}): free or repair the disk.") from error


def read(file: Path) -> list[Tombstone]:
    """Every tombstone, oldest first; none where there is no file.

    Raises:
        TombstonesUnusable: a line is damaged, so that nobody can say who is to be forgotten.
    """
    try:
        lines = read_lines(file, _is_whole)
    except OSError as error:
        raise TombstonesUnusable(f"{file} cannot be read ({error.strerror}): make it readable for the bot.") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        tombstone = _parse(line)
        if tombstone is None:
            raise TombstonesUnusable(f"Line {number} of {file} is damaged: repair it, it says who is to be forgotten.")
        found[tombstone.person, tombstone.at] = tombstone
    return list(found.values())


def unfinished(file: Path) -> list[Tombstone]:
    """The last tombstone of each person whose erasure was begun and not ended; raises as `read` does."""
    latest = {tombstone.person: tombstone for tombstone in read(file)}
    return [tombstone for tombstone in latest.values() if not tombstone.is_done]


def _parse(line: bytes) -> Tombstone | None:
    try:
        fields = json.loads(line)
        person, at = fields["person"], datetime.fromisoformat(fields["at"])
        is_done = fields.get("is_done") is True  # lines of older releases do not have it
    except (ValueError, KeyError, TypeError):
        return None
    return Tombstone(person, at.astimezone(UTC), is_done) if isinstance(person, str) and at.tzinfo is not None else None


def _is_whole(line: bytes) -> bool:
    return _parse(line) is not None
