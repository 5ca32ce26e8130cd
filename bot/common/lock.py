"""One bot per data folder and, on one machine, per token: by locks on files of their own.

A lock ends with the process, however it dies. The database file itself is never opened here: closing it would drop
SQLite's own locks. Two machines with one token are found out by polling, and so are two bots of one machine where the
lock of the token cannot be had.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bot.common.errors import StartError
from storage.db.files import make_private

logger = logging.getLogger(__name__)


@contextmanager
def hold_data_dir(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, hold it, and shut other users of this machine out of it.

    Raises:
        StartError: another bot holds it, it cannot be written, or others can read it and that cannot be changed.
    """
    path = folder / "lock"
    if folder.is_dir() and (folder.resolve() == Path("/") or folder.stat().st_mode & stat.S_ISVTX):
        raise StartError(f"The data folder {folder} is for everybody on this machine: set DATA_DIR to one of its own.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _opened(path)
    except OSError as error:
        raise StartError(f"The data folder {folder} cannot be written ({error.strerror}): set DATA_DIR.") from error
    with lock:
        try:
            _lock(lock, f"Another Ovation is running on the data folder {folder}: stop it, or set DATA_DIR.")
        except OSError as error:
            raise StartError(
                f"{path} cannot be locked ({error.strerror}): set DATA_DIR to a folder on a disk of this machine."
            ) from error
        _shut(folder)
        yield


def _shut(folder: Path) -> None:
    """Whatever mode the folder, and what is in it, was made with: others would read there who wrote when and where."""
    try:
        changed = make_private(folder.resolve())
    except OSError as error:
        owner = _name_of(Path(error.filename or folder).lstat().st_uid)
        raise StartError(
            f"{error.filename} can be read by other users of this machine and belongs to {owner}: give the data folder"
            f" to the user that runs Ovation (chown -R), or run chmod -R go-rwx {folder} as its owner."
        ) from error
    if changed:
        logger.warning("other users of this machine could read %d files and folders in %s: no more", changed, folder)


@contextmanager
def hold_token(token: str, api_url: str, *, folder: Path | None = None) -> Iterator[None]:
    """Hold a bot token, as known to one Bot API, on this machine.

    The lock is a file in `folder` (that of temporary files, if None), which is removed at the end. Where no file can be
    made or locked there, the log says so.

    Raises:
        StartError: another bot of this machine holds it, or something else stands in the lock's place.
    """
    name = hashlib.sha256(f"{token} {api_url}".encode()).hexdigest()[:24]
    try:
        path = (folder or Path(tempfile.gettempdir())) / f"ovation-{name}.lock"
        lock = _locked_in_place(path)
    except OSError as error:
        logger.warning(
            "The token cannot be locked on this machine (%s): see that no other Ovation uses it.", error.strerror
        )
        yield
        return
    with lock:
        try:
            yield
        finally:
            # While it is still locked: whoever has opened the same file meanwhile will see that it is no longer there.
            if _is_in_place(lock, path):
                path.unlink()


def _locked_in_place(path: Path) -> TextIO:
    """The file at `path`, locked; opened again if it was removed between the opening and the lock.

    Raises:
        OSError: it cannot be made or locked.
        StartError: another bot holds it, or something else is there.
    """
    while True:
        lock = _opened(path)
        try:
            _lock(lock, "Another Ovation is running with this TELEGRAM_BOT_TOKEN: stop it, or use another bot's token.")
        except (StartError, OSError):
            lock.close()
            raise
        if _is_in_place(lock, path):
            return lock
        lock.close()


def _opened(path: Path) -> TextIO:
    """The file at `path`, made if it is missing.

    Raises:
        OSError: it cannot be made.
        StartError: something is there that cannot be opened, and what.
    """
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w")
    except OSError as error:
        try:
            found = path.lstat()
        except OSError:
            raise error from None
        if stat.S_ISREG(found.st_mode) and found.st_uid != os.geteuid():
            why = f"{path} is the lock of {_name_of(found.st_uid)}: if no Ovation of theirs is running, remove it."
        elif stat.S_ISREG(found.st_mode):
            why = f"The lock {path} cannot be opened ({error.strerror}): remove it."
        else:
            why = f"{path} is no file, but stands where a lock is to be: remove it."
        raise StartError(why) from error


def _name_of(user: int) -> str:
    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user {user}"


def _is_in_place(file: TextIO, path: Path) -> bool:
    """Whether `path` still leads to this very file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _lock(file: TextIO, otherwise: str) -> None:
    """Lock a file, or raise a StartError with the sentence `otherwise` where somebody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StartError(otherwise) from error
