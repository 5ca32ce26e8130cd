"""What a check of `ovation doctor` has found: one word, and one sentence that says what to do. Knows no check.

Checks of the machine: Python, SQLite, the data folder, its file system and room, and who may read which file.

Knows operating systems. Knows nothing of what the bot keeps.
"""

import os
import platform
import shutil
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: State
    says: str


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", says)


def warning(check: str, says: str) -> Finding:
    """It works, but an operator should know."""
    return Finding(check, "warning", says)


def failed(check: str, says: str) -> Finding:
    """It does not work, or will not for long."""
    return Finding(check, "failed", says)


MOUNTS = Path("/proc/mounts")

_NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre glusterfs ncpfs coda fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs"
    " fuse.rclone fuse.davfs davfs".split()
)
_MIB = 2**20
_LEAST_FREE_BYTES = 256 * _MIB
_COPIES = 3
"""Of the database, that need room at once: itself rewritten after /forget, its log, a new backup."""

_AFFECTED = ((3, 7, 0), (3, 51, 2))
_BACKPORTS = ((3, 44, 6), (3, 50, 7))


def python() -> Finding:
    """The interpreter."""
    return ok("Python", f"{platform.python_version()} on {platform.system()}.")


def sqlite(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> Finding:
    """The library that keeps the data, and whether it has the WAL-reset bug."""
    name = ".".join(map(str, version))
    is_mended = any(version[:2] == mended[:2] and version >= mended for mended in _BACKPORTS)
    if is_mended or not _AFFECTED[0] <= version <= _AFFECTED[1]:
        return ok("SQLite", f"{name}.")
    return warning(
        "SQLite",
        f"{name} has the WAL-reset bug (3.7.0 to 3.51.2), harmless here because only one connection ever writes and"
        " checkpoints: do not write to the database with other programs while the bot runs, and upgrade when you can.",
    )


def folder(path: Path) -> Finding:
    """Whether the data folder is there and can be written."""
    if not path.exists():
        return ok("data folder", f"{path} is made at the first start.")
    if path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return ok("data folder", f"{path} can be written.")
    return failed("data folder", f"{path} cannot be written: give it to the user that runs the bot, or set DATA_DIR.")


def file_system(path: Path, mounts: Path = MOUNTS) -> Finding:
    """Whether the folder lies on a disk of this machine: over a network SQLite's locks and log do not hold."""
    kind = _kind_of_file_system(_existing(path).resolve(), mounts)
    if kind is None:
        return ok("file system", "This system does not tell; see that the data folder is on a disk of this machine.")
    if kind in _NETWORK:
        return failed("file system", f"{path} is on a network ({kind}): set DATA_DIR to a folder on a local disk.")
    return ok("file system", f"{kind}, on this machine.")


def room(path: Path, *, database_bytes: int) -> Finding:
    """Whether the disk has room for the next days."""
    free = shutil.disk_usage(_existing(path)).free
    says = f"{free // _MIB} MiB free"
    if free < _LEAST_FREE_BYTES:
        return failed("disk", f"{says}: make room at once, or the bot will stop accepting prompts.")
    if free < _LEAST_FREE_BYTES + _COPIES * database_bytes:
        return warning("disk", f"{says}: make room, backups and /forget need {_COPIES} times the database.")
    return ok("disk", f"{says}.")


def private(check: str, path: Path) -> Finding:
    """Whether nobody else on this machine can read a file."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return failed(check, f"{path} can be read by other users of this machine: run chmod 600 {path}.")
    return ok(check, f"Only you can read {path}.")


def _kind_of_file_system(path: Path, mounts: Path) -> str | None:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found, best = None, -1
    for line in filter(None, lines):
        _, place, kind, *_ = line.split()
        mounted = Path(place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if path.is_relative_to(mounted) and len(mounted.parts) >= best:
            found, best = kind, len(mounted.parts)
    return found


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
