"""The keys of an installation, and the pseudonyms that they make.

The master key lies in KEY_FILE, outside the data folder; the keyring that it opens lies inside, with a copy beside the
backups.
"""

import contextlib
import hashlib
import hmac
import json
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
from storage.db.files import create_private, fsync, move_into_place, others_can_read
from storage.db.keyring import PSEUDONYMS, Keyring

KEY_BYTES = 32


class Pseudonyms:
    """Keyed hashes that stand for Telegram ids everywhere but in the delivery tables.

    HMAC-SHA-256 (RFC 2104) over "person:<id>" or "chat:<id>", first 128 bits in hex. Without the key, which nobody can
    read without the master key, a pseudonym cannot be traced back even though ids are short.
    """

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


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens the texts and makes the pseudonyms."""

    keyring: Keyring
    pseudonyms: Pseudonyms

    def named_in(self, body: str) -> frozenset[str]:
        """The pseudonyms of everybody whom an update names, encrypted as it waits in the inbox."""
        update = self.keyring.decrypt(body)
        return frozenset() if update is None else self.pseudonyms.named_in(update)


def open_keys(settings: DataSettings, *, may_create: bool = False) -> Keys:
    """Open the keys; `may_create` allows new ones where there is no data yet. Databases that predate the keyring get
    one as well.

    Raises:
        StartError: a key is missing although there is data, can be read by others, or does not fit.
    """
    is_new = may_create and not settings.database_path.exists()
    file = settings.keyring_path
    _finish_rotation(settings.key_path, file)
    if is_new and not settings.key_path.exists():
        try:
            create_master_key(settings.key_path)
        except OSError as error:
            raise StartError(
                f"The key {settings.key_path} cannot be written ({error.strerror}): set KEY_FILE."
            ) from error
    master = read_master_key(settings.key_path)
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


def _needs_keyring(database: Path) -> bool:
    try:
        return is_encrypted(database)
    except sqlite3.Error:
        return True  # damaged: nobody can tell, so nothing is made anew


def create_master_key(file: Path) -> None:
    """Draw a master key; FileExistsError where there is one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    create_private(file)
    file.write_text(secrets.token_hex(KEY_BYTES))
    fsync(file)
    fsync(file.parent)


def read_master_key(file: Path) -> bytes:
    """Read the master key.

    Raises:
        StartError: it is missing, can be read by others, or is not a key.
    """
    if not file.exists():
        raise StartError(f"The key {file} is missing, but there is data made with it: restore it or set KEY_FILE.")
    if not file.is_file():
        raise StartError(f"The key {file} is no file: restore the key, or set KEY_FILE.")
    if others_can_read(file):
        raise StartError(f"The key {file} can be read by other users of this machine: run chmod 600 {file}.")
    try:
        key = bytes.fromhex(file.read_text(encoding="utf-8-sig").strip())
    except ValueError:
        key = b""
    except OSError as error:
        raise StartError(
            f"The key {file} cannot be read ({error.strerror}): give it to the user that runs the bot."
        ) from error
    if len(key) != KEY_BYTES:
        raise StartError(f"{file} is not a key of Ovation: restore it from where you keep it, or set KEY_FILE.")
    return key


def replace_master_key(settings: DataSettings) -> None:
    """Draw a new master key and wrap every key by it; a kill at any moment leaves the old pair or the new one.

    Raises:
        StartError: the keys cannot be opened, or the new one not written; the old ones stand.
    """
    keys = open_keys(settings)
    new = _new_key_path(settings.key_path)
    try:
        new.unlink(missing_ok=True)
        create_master_key(new)
        keys.keyring.rewrap(read_master_key(new))
        _finish_rotation(settings.key_path, settings.keyring_path)
        if settings.backups_path.is_dir():
            keys.keyring.copy_to(settings.backups_path)
    except (OSError, KeyringUnusable) as error:
        raise StartError(f"The key could not be changed ({error}): see that {new.parent} can be written.") from error


def _finish_rotation(key_file: Path, keyring: Path) -> None:
    """Give the new master key its name once the keyring is wrapped by it, if a kill has left that to do."""
    new = _new_key_path(key_file)
    if new.exists():
        with contextlib.suppress(StartError, KeyringUnusable, FileNotFoundError):
            Keyring.open(keyring, read_master_key(new))
            move_into_place(new, key_file)


def _new_key_path(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.new")


def restore_keyring(settings: DataSettings, backup: Path) -> None:
    """Where there is no keyring, put the copy in its place that lies beside a backup."""
    copy = backup.with_name(settings.keyring_path.name)
    if copy.exists() and not settings.keyring_path.exists():
        attempt = settings.keyring_path.with_name(f"{copy.name}.attempt")
        attempt.unlink(missing_ok=True)
        create_private(attempt)
        shutil.copyfile(copy, attempt)
        move_into_place(attempt, settings.keyring_path)
