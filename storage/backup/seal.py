"""A checksum inside a backup's own header, so that one wrong bit anywhere is noticed and a renamed file keeps it.

SQLite checks the structure of its pages, not what is written in them. Two header fields that are free for programs
hold the seal: the application id says that there is one, the user version is the CRC-32 of all other bytes. Knows
SQLite's file header (https://www.sqlite.org/fileformat.html). Knows no table, and touches no file that is in use.
"""

import zlib
from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = b"Ovtn"
_USER_VERSION_AT, _APPLICATION_ID_AT, _FIELD = 60, 68, 4
_BLOCK_BYTES = 1 << 20

UNSEAL = ("PRAGMA application_id = 0", "PRAGMA user_version = 0")
"""What a database that is to be written to again must run."""


def seal(file: Path) -> None:
    """Write the checksum of a finished file into its header."""
    checksum = _checksum(file)
    with file.open("r+b") as handle:
        handle.seek(_USER_VERSION_AT)
        handle.write(checksum)
        handle.seek(_APPLICATION_ID_AT)
        handle.write(_APPLICATION_ID)


def is_database(file: Path) -> bool:
    """Whether a file begins as every database of SQLite does."""
    with file.open("rb") as handle:
        return handle.read(len(_MAGIC)) == _MAGIC


def is_broken(file: Path) -> bool:
    """Whether a seal says that bytes have changed since; a database that was never sealed has nothing to say."""
    if not is_database(file):
        return False
    with file.open("rb") as handle:
        header = handle.read(_APPLICATION_ID_AT + _FIELD)
    mark = header[_APPLICATION_ID_AT:]
    if mark == _APPLICATION_ID:
        return header[_USER_VERSION_AT : _USER_VERSION_AT + _FIELD] != _checksum(file)
    return mark != bytes(_FIELD)


def _checksum(file: Path) -> bytes:
    checksum = 0
    with file.open("rb") as handle:
        block = handle.read(_BLOCK_BYTES)
        for place in (_USER_VERSION_AT, _APPLICATION_ID_AT):
            block = block[:place] + bytes(_FIELD) + block[place + _FIELD :]
        while block:
            checksum = zlib.crc32(block, checksum)
            block = handle.read(_BLOCK_BYTES)
    return checksum.to_bytes(_FIELD)
