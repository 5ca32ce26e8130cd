"""Files that survive a power cut: created privately, synced, and moved into place only when they are whole.

Never for a live database: opening and closing its file drops SQLite's locks.
"""

import contextlib
import functools
import logging
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_DATABASE_SUFFIXES = ("", "-journal", "-wal", "-shm")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path) -> None:
    """Make an empty file that only its owner can read."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def others_can_read(path: Path) -> bool:
    """Whether other users of this machine can read a file.

    False as well where the file system keeps no modes, as Windows' own do: there nobody could change it. The log says
    so, once.
    """
    return bool(path.stat().st_mode & _OTHERS) and keeps_modes(path.parent.absolute())


@functools.cache
def keeps_modes(folder: Path) -> bool:
    """Whether a file that is made private in a folder is private; True where none can be made."""
    probe = folder / f".ovation-{uuid.uuid4().hex}"
    try:
        create_private(probe)
        try:
            is_private = not probe.stat().st_mode & _OTHERS
        finally:
            probe.unlink()
    except OSError:
        return True
    if not is_private:
        logger.warning(
            "The file system of %s keeps no modes, so other users of this machine may read what lies there.", folder
        )
    return is_private


_OURS = ("ovation.db*", "keyring.jsonl*", "tombstones.jsonl*", "*lock", "backups", "models", "runs", "tmp", "versions")
"""What Ovation makes in a data folder; whatever else lies there is somebody's whom it does not know."""


def exposed(data_dir: Path) -> list[Path]:
    """The data folder and what is Ovation's in it, as far as its mode lets other users in; links are not followed.

    None where the file system keeps no modes: there nobody could change it.
    """
    found = [path for path in _ours(data_dir) if _lets_others_in(path)]
    return found if found and keeps_modes(data_dir.absolute()) else []


def make_private(data_dir: Path) -> int:
    """Shut other users of this machine out of what is exposed; returns how many files and folders that were.

    Raises:
        OSError: a mode cannot be changed, mostly because something is another user's; its `filename` is which.
    """
    found = exposed(data_dir)
    for path in found:
        with contextlib.suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)
    return len(found)


def _ours(data_dir: Path) -> Iterator[Path]:
    yield data_dir
    for pattern in _OURS:
        for path in data_dir.glob(pattern):
            yield path
            if not path.is_symlink():
                for folder, folders, files in os.walk(path):
                    yield from (Path(folder, name) for name in (*folders, *files))


def _lets_others_in(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:  # it has gone meanwhile, or is where we may not look
        return False
    return bool(mode & _OTHERS) and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def fsync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(attempt: Path, target: Path) -> None:
    """Put a finished file in its place, in one step that is on disk when this returns."""
    fsync(attempt)
    attempt.replace(target)
    fsync(target.parent)


def link_or_copy(path: Path, other: Path) -> None:
    """Make a file known by another name too; it is copied where the file system has no hard links."""
    try:
        other.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(path, other)
        fsync(other)


def remove_database(path: Path) -> None:
    """Remove a database file that nobody uses, with what SQLite may have left beside it."""
    for suffix in _DATABASE_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


IsWhole = Callable[[bytes], bool]
"""Whether a line without its end is a whole one all the same."""


def append_line(file: Path, line: bytes, is_whole: IsWhole) -> None:
    """Add a line, after cutting off a torn last one or ending a whole one; it is on disk when this returns."""
    is_new = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as handle:
        content = handle.read()
        tail = content.rpartition(b"\n")[2]
        keeps_tail = bool(tail) and is_whole(tail)
        handle.seek(len(content) if keeps_tail else len(content) - len(tail))
        handle.truncate()
        handle.write((b"\n" if keeps_tail else b"") + line + b"\n")
        handle.flush()
        os.fsync(descriptor)
    if is_new:
        fsync(file.parent)


def read_lines(file: Path, is_whole: IsWhole) -> list[bytes]:
    """Every line, without a torn last one; none where there is no file."""
    try:
        *ended, tail = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [*ended, tail] if is_whole(tail) else ended
