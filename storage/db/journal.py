"""Journals: files of lines that only grow. A line is on disk before `append` returns; a torn last line never was.

Knows lines and the disk; what a line means is told by the caller.
"""

import os
from collections.abc import Callable
from pathlib import Path

from storage.db.durable import sync

IsWhole = Callable[[bytes], bool]
"""Whether a line without its end is a whole one all the same."""


def append(file: Path, line: bytes, is_whole: IsWhole) -> None:
    """Add a line, after cutting off a torn last one or ending a whole one.

    Raises:
        OSError: the file cannot be written.
    """
    is_new = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as handle:
        content = handle.read()
        tail = content.rpartition(b"\n")[2]
        handle.seek(len(content) if not tail or is_whole(tail) else len(content) - len(tail))
        handle.truncate()
        handle.write((b"\n" if tail and is_whole(tail) else b"") + line + b"\n")
        handle.flush()
        os.fsync(descriptor)
    if is_new:
        sync(file.parent)


def lines(file: Path, is_whole: IsWhole) -> list[bytes]:
    """Every line, without a torn last one; none where there is no file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        *ended, tail = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [*ended, tail] if is_whole(tail) else ended
