"""Pseudonyms: keyed hashes that stand for Telegram ids everywhere but in the delivery tables.

HMAC-SHA-256 (RFC 2104) over "person:<id>" or "chat:<id>", first 128 bits in hex. Without the key, which nobody can read
without the master key outside the data folder, a pseudonym cannot be traced back even though ids are short. Knows ids,
stores none.

The keys of an installation: the master key in KEY_FILE, and the keyring that it opens. Made, opened, changed here.

The master key lies outside the data folder; the keyring lies inside, and a copy of it beside the backups. Knows where
they lie and in which order they are written. Knows nothing of what they encrypt.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.common.errors import StartError
from bot.common.settings import DataSettings
from storage.db.database import is_encrypted, open_for_reading
from storage.db.errors import KeyringUnusable
from storage.db.files import create_private, fsync, move_into_place
from storage.db.keyring import PSEUDONYMS, Keyring

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


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens the texts and makes the pseudonyms."""

    keyring: Keyring
    pseudonyms: Pseudonyms

    def named_in(self, body: str) -> frozenset[str]:
        """The pseudonyms of everybody whom an update names, encrypted as it waits in the inbox."""
        update = self.keyring.decrypt(body)
        return frozenset() if update is None else self.pseudonyms.named_in(update)


def open_keys(settings: DataSettings, *, may_make: bool = False) -> Keys:
    """Open the keys; `may_make` makes them where there is no data yet. Data of before the keyring gets one as well.

    Raises:
        StartError: a key is missing although there is data, can be read by others, or does not fit.
    """
    is_new = may_make and not settings.database_path.exists()
    file = settings.keyring_path
    _finish_change(settings.key_path, file)
    master = load_key(settings.key_path, is_new_installation=is_new)
    try:
        if file.exists():
            keyring = Keyring.open(file, master)
        elif is_new or not _needs_keyring(settings.database_path):
            file.parent.mkdir(parents=True, exist_ok=True)
            keyring = Keyring.create(file, master, pseudonyms=None if is_new else master)
        else:
            raise StartError(
                f"The keyring {file} is missing, and without it nobody can read the texts: put back the copy in "
                f"{settings.backups_path}."
            )
    except KeyringUnusable as error:
        raise StartError(str(error)) from error
    return Keys(keyring, Pseudonyms(keyring.key(PSEUDONYMS)))


def open_existing_keys(settings: DataSettings) -> Keys:
    """The keys of data that is there.

    Raises:
        DatabaseUnusable: there is none.
        StartError: its keys are missing, can be read by others, or do not fit.
    """
    open_for_reading(settings.database_path).close()
    return open_keys(settings)


def restore_keyring(settings: DataSettings, backup: Path) -> None:
    """Where there is no keyring, put the copy in its place that lies beside a backup."""
    copy = backup.with_name(settings.keyring_path.name)
    if copy.exists() and not settings.keyring_path.exists():
        attempt = settings.keyring_path.with_name(f"{copy.name}.attempt")
        attempt.unlink(missing_ok=True)
        create_private(attempt)
        shutil.copyfile(copy, attempt)
        move_into_place(attempt, settings.keyring_path)


def replace_master_key(settings: DataSettings) -> None:
    """Draw a new master key and wrap every key by it; a kill at any moment leaves the old pair or the new one.

    Raises:
        StartError: the keys cannot be opened, or the new one not written; the old ones stand.
    """
    keys = open_keys(settings)
    coming = _coming(settings.key_path)
    try:
        coming.unlink(missing_ok=True)
        create_private(coming)
        coming.write_text(secrets.token_hex(KEY_BYTES))
        fsync(coming)
        fsync(coming.parent)
        keys.keyring.rewrap(load_key(coming, is_new_installation=False))
        _finish_change(settings.key_path, settings.keyring_path)
        if settings.backups_path.is_dir():
            keys.keyring.copy_to(settings.backups_path)
    except (OSError, KeyringUnusable) as error:
        raise StartError(f"The key could not be changed ({error}): see that {coming.parent} can be written.") from error


def _finish_change(key_file: Path, keyring: Path) -> None:
    """Give the new master key its name once the keyring is wrapped by it, if a kill has left that to do."""
    coming = _coming(key_file)
    if coming.exists():
        with contextlib.suppress(StartError, KeyringUnusable, FileNotFoundError):
            Keyring.open(keyring, load_key(coming, is_new_installation=False))
            move_into_place(coming, key_file)


def _coming(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.new")


def _needs_keyring(database: Path) -> bool:
    try:
        return is_encrypted(database)
    except sqlite3.Error:
        return True  # damaged: nobody can tell, so nothing is made anew
