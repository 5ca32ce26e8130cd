"""The keys of an installation: the master key in KEY_FILE, and the keyring that it opens. Made, opened, changed here.

The master key lies outside the data folder; the keyring lies inside, and a copy of it beside the backups. Knows where
they lie and in which order they are written. Knows nothing of what they encrypt.
"""

import contextlib
import secrets
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from bot.common.errors import StartError
from bot.common.identity import KEY_BYTES, Pseudonyms, load_key
from bot.common.settings import DataSettings
from storage.db.database import is_encrypted, open_for_reading
from storage.db.durable import give_name, make_private, sync
from storage.db.errors import KeyringUnusable
from storage.db.keyring import PSEUDONYMS, Keyring


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
            keyring = Keyring.make(file, master, pseudonyms=None if is_new else master)
        else:
            raise StartError(
                f"The keyring {file} is missing, and without it nobody can read the texts: put back the copy in "
                f"{settings.backups_path}."
            )
    except KeyringUnusable as error:
        raise StartError(str(error)) from error
    return Keys(keyring, Pseudonyms(keyring.key(PSEUDONYMS)))


def keys_of_data(settings: DataSettings) -> Keys:
    """The keys of data that is there.

    Raises:
        DatabaseUnusable: there is none.
        StartError: its keys are missing, can be read by others, or do not fit.
    """
    open_for_reading(settings.database_path).close()
    return open_keys(settings)


def bring_keyring(settings: DataSettings, backup: Path) -> None:
    """Where there is no keyring, put the copy in its place that lies beside a backup."""
    copy = backup.with_name(settings.keyring_path.name)
    if copy.exists() and not settings.keyring_path.exists():
        attempt = settings.keyring_path.with_name(f"{copy.name}.attempt")
        attempt.unlink(missing_ok=True)
        make_private(attempt)
        shutil.copyfile(copy, attempt)
        give_name(attempt, settings.keyring_path)


def change_master(settings: DataSettings) -> None:
    """Draw a new master key and wrap every key by it; a kill at any moment leaves the old pair or the new one.

    Raises:
        StartError: the keys cannot be opened, or the new one not written; the old ones stand.
    """
    keys = open_keys(settings)
    coming = _coming(settings.key_path)
    try:
        coming.unlink(missing_ok=True)
        make_private(coming)
        coming.write_text(secrets.token_hex(KEY_BYTES))
        sync(coming)
        sync(coming.parent)
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
            give_name(coming, key_file)


def _coming(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.new")


def _needs_keyring(database: Path) -> bool:
    try:
        return is_encrypted(database)
    except sqlite3.Error:
        return True  # damaged: nobody can tell, so nothing is made anew
