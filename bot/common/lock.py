"""One bot per data folder and, on one machine, per token: by locks on files of their own.

A lock ends with the process, however it dies. The database file itself is never opened here: closing it would drop
SQLite's own locks. Two machines with one token are found out by polling.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bot.common.errors import StartError


@contextmanager
def hold_data_dir(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, and hold it.

    Raises:
        StartError: another bot holds it, or it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StartError(f"The data folder {folder} cannot be written ({error.strerror}): set DATA_DIR.") from error
    with lock:
        _lock(lock, f"Another Ovation is running on the data folder {folder}: stop it, or set DATA_DIR.")
        yield


@contextmanager
def hold_token(token: str, api_url: str, *, folder: Path | None = None) -> Iterator[None]:
    """Hold a bot token, as known to one Bot API, on this machine.

    The lock is a file in `folder` (that of temporary files, if None), which is removed at the end.

    Raises:
        StartError: another bot of this machine holds it.
    """
    name = hashlib.sha256(f"{token} {api_url}".encode()).hexdigest()[:24]
    path = (folder or Path(tempfile.gettempdir())) / f"ovation-{name}.lock"
    with _locked_in_place(path) as lock:
        try:
            yield
        finally:
            # While it is still locked: whoever has opened the same file meanwhile will see that it is no longer there.
            if _is_in_place(lock, path):
                path.unlink()


def _locked_in_place(path: Path) -> TextIO:
    """The file at `path`, locked; opened again if it was removed between the opening and the lock."""
    sentence = "Another Ovation is running with this TELEGRAM_BOT_TOKEN: stop it, or use another bot's token."
    while True:
        try:
            lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w")
        except OSError as error:  # somebody else's
            raise StartError(sentence) from error
        try:
            _lock(lock, sentence)
        except StartError:
            lock.close()
            raise
        if _is_in_place(lock, path):
            return lock
        lock.close()


def _is_in_place(file: TextIO, path: Path) -> bool:
    """Whether `path` still leads to this very file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _lock(file: TextIO, otherwise: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StartError(otherwise) from error
