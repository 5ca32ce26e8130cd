"""Pseudonyms: keyed hashes that stand for Telegram ids everywhere but in the delivery tables.

HMAC-SHA-256 (RFC 2104) over "person:<id>" or "chat:<id>", first 128 bits in hex. Without the key, which nobody can read
without the master key outside the data folder, a pseudonym cannot be traced back even though ids are short. Knows ids,
stores none.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from bot.common.errors import StartError

KEY_BYTES = 32


class Pseudonyms:
    """Turns Telegram ids into pseudonyms; the same id gives the same pseudonym under one key."""

    LENGTH = 32

    def __init__(self, key: bytes) -> None:
        self._key = key

    def person(self, telegram_id: int) -> str:
        """The pseudonym of a person."""
        return self._digest(f"person:{telegram_id}")

    def chat(self, telegram_id: int) -> str:
        """The pseudonym of a chat."""
        return self._digest(f"chat:{telegram_id}")

    def named_in(self, update: str) -> frozenset[str]:
        """The pseudonyms of everybody whom an update in Telegram's JSON names, however deep."""
        return frozenset(self.person(telegram_id) for telegram_id in _ids_in(json.loads(update)))

    def _digest(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()[: self.LENGTH]


def _ids_in(part: object) -> Iterator[int]:
    """Every `id` that is a number: people's, and chats', which in private are the same."""
    if isinstance(part, dict):
        own = part.get("id")
        if isinstance(own, int) and not isinstance(own, bool):
            yield own
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from _ids_in(value)


def load_key(file: Path, *, is_new_installation: bool) -> bytes:
    """Read the master key, or make it when this is a new installation.

    Raises:
        StartError: the key is missing although data exists, can be read by others, or is not a key.
    """
    if not file.exists():
        if not is_new_installation:
            raise StartError(f"The key {file} is missing, but there is data made with it: restore it or set KEY_FILE.")
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_hex(KEY_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
    if file.stat().st_mode & 0o077:
        raise StartError(f"The key {file} can be read by other users of this machine: run chmod 600 {file}.")
    try:
        key = bytes.fromhex(file.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StartError(f"{file} is not a key of Ovation: restore it from where you keep it, or set KEY_FILE.")
    return key
