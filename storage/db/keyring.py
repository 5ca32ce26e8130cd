"""The keyring: a data key for each person, wrapped by the master key, in a file of its own beside the database.

Envelope encryption: what people wrote lies in the database under AES-256-GCM (NIST SP 800-38D; 96-bit nonces drawn at
random, the owner's name as associated data) with the key of its author; that key lies here, encrypted the same way by
the master key, which lies elsewhere. Whoever loses a key loses the texts: so erasing one person's key makes every copy
of their texts unreadable, in old backups too, and the master key is changed without touching a text. A key is on disk
before anything is encrypted with it. Knows names and keys. Knows nothing of tables, and not where the master key is.
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.db import files
from storage.db.errors import KeyringUnusable
from storage.db.files import create_private, move_into_place

INBOX = "house"
"""The name under which lies what belongs to no person yet: updates that wait to be read."""
PSEUDONYMS = "pseudonyms"
"""The name of the key that turns Telegram's ids into pseudonyms; it outlives every master key."""
FINGERPRINTS = "fingerprints"
"""The name of the key of the numbers by which texts are found again."""
WATERMARK = "watermark"
"""The name of the key that marks texts."""

_MARK = "aes1:"
"""Begins every encrypted value, so that it can be told from what was never encrypted."""
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    wrapped: str


class Keyring:
    """The keys of one installation. One process makes and erases keys, on one thread: who holds the data folder."""

    def __init__(self, file: Path, master: bytes, entries: Mapping[str, str]) -> None:
        self._file = file
        self._master = master
        self._keys = {name: self._unwrap(name, wrapped) for name, wrapped in entries.items()}

    @classmethod
    def open(cls, file: Path, master: bytes) -> "Keyring":
        """Read the keyring.

        Raises:
            KeyringUnusable: it is missing, damaged, or wrapped by another master key.
        """
        entries = {}
        for number, line in enumerate(_lines(file), start=1):
            entry = _parse(line)
            if entry is None:
                raise KeyringUnusable(f"Line {number} of {file} is damaged: put back the copy beside your backups.")
            entries[entry.name] = entry.wrapped
        if not entries:
            raise KeyringUnusable(f"There is no keyring {file}: put back the copy beside your backups.")
        return cls(file, master, entries)

    @classmethod
    def create(cls, file: Path, master: bytes, *, pseudonyms: bytes | None = None) -> "Keyring":
        """Begin a keyring; `pseudonyms` is the key of pseudonyms that there are already, else a new one is drawn.

        Raises:
            KeyringUnusable: it cannot be written.
        """
        keyring = cls(file, master, {})
        for name in (INBOX, FINGERPRINTS, WATERMARK, PSEUDONYMS):  # those of persons come one by one
            keyring._keys[name] = AESGCM.generate_key(bit_length=256)
        if pseudonyms is not None:
            keyring._keys[PSEUDONYMS] = pseudonyms
        keyring._write(dict(keyring._keys), master)  # whole or not at all
        return keyring

    def key(self, name: str) -> bytes:
        """A key by its name, made when it is first asked for.

        Raises:
            KeyringUnusable: a new one cannot be written.
        """
        if name not in self._keys:
            self._add(name, AESGCM.generate_key(bit_length=256))
        return self._keys[name]

    def encrypt(self, name: str, text: str | None) -> str | None:
        """A text under the key of its owner; None stays None. What is encrypted already gets one more layer."""
        if text is None:
            return None
        return f"{_MARK}{name}:{_encrypt(self.key(name), name, text.encode())}"

    def decrypt(self, value: str | None) -> str | None:
        """The text under all layers; None where a key was erased. What was never encrypted is returned as it is."""
        while value is not None and value.startswith(_MARK):
            name, _, content = value.removeprefix(_MARK).partition(":")
            key = self._keys.get(name)
            try:
                value = None if key is None else _decrypt(key, name, content).decode()
            except InvalidTag:  # written under a key that has been erased, before its owner came back
                return None
        return value

    def erase(self, name: str) -> None:
        """Lose a key, on disk too; without it nobody reads what was encrypted with it.

        Raises:
            KeyringUnusable: the file cannot be written anew; the key is still there.
        """
        if name in self._keys:
            self._write({other: key for other, key in self._keys.items() if other != name}, self._master)
            del self._keys[name]

    def rewrap(self, master: bytes) -> None:
        """Wrap every key by another master key. The keys, and what they encrypt, stay.

        Raises:
            KeyringUnusable: the file cannot be written anew; it is as it was.
        """
        self._write(dict(self._keys), master)
        self._master = master

    def copy_to(self, folder: Path) -> None:
        """Keep the present keyring in a folder too, in the place of an older copy.

        Raises:
            KeyringUnusable: the copy cannot be written.
        """
        self._write(dict(self._keys), self._master, folder / self._file.name)

    def _add(self, name: str, key: bytes) -> None:
        try:
            files.append(self._file, _line(name, key, self._master), _is_whole)
        except OSError as error:
            raise _unwritable(self._file, error) from error
        self._keys[name] = key

    def _unwrap(self, name: str, wrapped: str) -> bytes:
        try:
            return _decrypt(self._master, name, wrapped)
        except InvalidTag as error:
            raise KeyringUnusable(
                f"The keyring {self._file} was made with another key: put back the KEY_FILE that belongs to it."
            ) from error

    def _write(self, keys: Mapping[str, bytes], master: bytes, file: Path | None = None) -> None:
        target = file or self._file
        attempt = target.with_name(f"{target.name}.attempt")
        try:
            attempt.unlink(missing_ok=True)
            create_private(attempt)
            attempt.write_bytes(b"".join(_line(name, key, master) + b"\n" for name, key in keys.items()))
            move_into_place(attempt, target)
        except OSError as error:
            raise _unwritable(target, error) from error


def _encrypt(key: bytes, name: str, content: bytes) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, content, name.encode())).decode()


def _decrypt(key: bytes, name: str, value: str) -> bytes:
    whole = base64.b64decode(value)
    return AESGCM(key).decrypt(whole[:_NONCE_BYTES], whole[_NONCE_BYTES:], name.encode())


def _line(name: str, key: bytes, master: bytes) -> bytes:
    return json.dumps({"name": name, "wrapped": _encrypt(master, name, key)}).encode()


def _lines(file: Path) -> list[bytes]:
    try:
        return files.lines(file, _is_whole)
    except OSError as error:
        raise KeyringUnusable(f"{file} cannot be read ({error.strerror}): make it readable for the bot.") from error


def _is_whole(line: bytes) -> bool:
    return _parse(line) is not None


def _parse(line: bytes) -> _Entry | None:
    try:
        fields = json.loads(line)
        entry = _Entry(str(fields["name"]), str(fields["wrapped"]))
        long_enough = len(base64.b64decode(entry.wrapped, validate=True)) > _NONCE_BYTES + _KEY_BYTES
    except (ValueError, KeyError, TypeError):
        return None
    return entry if long_enough else None


def _unwritable(file: Path, error: OSError) -> KeyringUnusable:
    return KeyringUnusable(f"{file} cannot be written ({error.strerror}): free or repair the disk.")
