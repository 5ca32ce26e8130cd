"""Files that survive a power cut: made privately, synced, and given their name only when they are whole.

Knows the file system. Knows nothing of what the files hold. Never used on a live database, whose locks would be lost
by opening and closing it.
"""

import os
import shutil
from pathlib import Path

_BESIDE = ("", "-journal", "-wal", "-shm")


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_name(attempt: Path, target: Path) -> None:
    """Put a finished file in its place, in one step that is on disk when this returns."""
    sync(attempt)
    attempt.replace(target)
    sync(target.parent)


def give_second_name(path: Path, other: Path) -> None:
    """Make a file known by another name too; it is copied where the file system knows no links."""
    try:
        other.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(path, other)
        sync(other)


def remove_database(path: Path) -> None:
    """Remove a database file that nobody uses, with what SQLite may have left beside it."""
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
