"""The data folder: who holds it, and the key beside it. One bot per folder, by a lock on a file of its own.

The lock ends with the process, however it dies. The database file itself is never opened here: closing it would drop
SQLite's own locks.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import StartError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder if need be and hold it.

    Raises:
        StartError: another bot holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StartError(f"The data folder {folder} cannot be written ({error.strerror}): set DATA_DIR.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(
                f"Another Ovation is running on the data folder {folder}: stop it, or set DATA_DIR."
            ) from error
        yield
