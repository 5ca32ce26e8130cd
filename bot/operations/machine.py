"""Checks of the machine for `ovation doctor`: SQLite, the data folder, its file system and room.

Every start runs some of them before anything else is imported, so this module imports only the standard library.
"""

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; `says` is a sentence that tells what to do."""

    check: str
    state: State
    says: str


MOUNTS = Path("/proc/mounts")

_NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre glusterfs ncpfs coda fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs"
    " fuse.rclone fuse.davfs davfs".split()
)
_MIB = 2**20
_LEAST_FREE_BYTES = 256 * _MIB
_COPIES = 3
"""Copies of the database that need room at once: itself rewritten after /forget, its log, a new backup."""

_AFFECTED = ((3, 7, 0), (3, 51, 2))
_BACKPORTS = ((3, 44, 6), (3, 50, 7))


def sqlite(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> Finding:
    """Whether the library has the WAL-reset bug."""
    name = ".".join(map(str, version))
    is_fixed = any(version[:2] == fixed[:2] and version >= fixed for fixed in _BACKPORTS)
    if is_fixed or not _AFFECTED[0] <= version <= _AFFECTED[1]:
        return Finding("SQLite", "ok", f"{name}.")
    return Finding(
        "SQLite",
        "warning",
        f"{name} has the WAL-reset bug (3.7.0 to 3.51.2), harmless here because only one connection ever writes and"
        " checkpoints: do not write to the database with other programs while the bot runs, and upgrade when you can.",
    )


def folder(path: Path) -> Finding:
    """Whether the data folder is there and can be written."""
    if not path.exists():
        return Finding("data folder", "ok", f"{path} is made at the first start.")
    if path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding("data folder", "ok", f"{path} can be written.")
    says = f"{path} cannot be written: give it to the user that runs the bot, or set DATA_DIR."
    return Finding("data folder", "failed", says)


def file_system(path: Path, mounts: Path | None = None) -> Finding:
    """Whether the folder is on a disk of this machine: over a network SQLite's locks and log do not hold."""
    kind = _kind_of_file_system(_existing(path).resolve(), mounts or MOUNTS)
    if kind is None:
        says = "This system does not tell; see that the data folder is on a disk of this machine."
        return Finding("file system", "ok", says)
    if kind in _NETWORK:
        says = f"{path} is on a network ({kind}): set DATA_DIR to a folder on a local disk."
        return Finding("file system", "failed", says)
    return Finding("file system", "ok", f"{kind}, on this machine.")


def room(path: Path, *, database_bytes: int) -> Finding:
    """Whether the disk has room for the next days."""
    free = shutil.disk_usage(_existing(path)).free
    says = f"{free // _MIB} MiB free"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", "failed", f"{says}: make room at once, or the bot will stop accepting prompts.")
    if free < _LEAST_FREE_BYTES + _COPIES * database_bytes:
        says += f": make room, backups and /forget need {_COPIES} times the database."
        return Finding("disk", "warning", says)
    return Finding("disk", "ok", f"{says}.")


def _kind_of_file_system(path: Path, mounts: Path) -> str | None:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").split("\n")
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
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
