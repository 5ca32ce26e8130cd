"""The keyring: a data key for each person, wrapped by the master key, in a file of its own beside the database.

Envelope encryption: what people wrote lies in the database under AES-256-GCM (NIST SP 800-38D; 96-bit nonces drawn at
random, the owner's name as associated data) with the key of its author; that key lies here, encrypted the same way by
the master key, which lies elsewhere. Whoever loses a key loses the texts: so erasing one person's key makes every copy
of their texts unreadable, in old backups too, and the master key is changed without touching a text. A key is on disk
before anything is encrypted with it.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.db.errors import KeyringUnusable
from storage.db.files import append_line, create_private, move_into_place, read_lines

# The names of the keys that are no person's. They are stored, so they stay as they are.
INBOX = "house"
"""For updates that wait to be read, and so belong to nobody yet."""
PSEUDONYMS = "pseudonyms"
"""Turns Telegram's ids into pseudonyms; it outlives every master key."""
FINGERPRINTS = "fingerprints"
"""For the numbers by which texts are found again."""
WATERMARK = "watermark"
"""Marks texts."""

_PREFIX = "aes1:"
"""Begins every encrypted value, so that it can be told from what was never encrypted."""
_KEY_BYTES, _NONCE_BYTES = 32, 12


class Keyring:
    """The keys of one installation. One process makes and erases keys, on one thread: who holds the data folder.

    What writes raises `KeyringUnusable` where it cannot; keys and file are as they were then.
    """

    def __init__(self, file: Path, master: bytes, keys: Mapping[str, bytes]) -> None:
        self._file = file
        self._master = master
        self._keys = dict(keys)

    @classmethod
    def open(cls, file: Path, master: bytes) -> "Keyring":
        """Read the keyring.

        Raises:
            KeyringUnusable: it is missing, damaged, or wrapped by another master key.
        """
        try:
            lines = read_lines(file, _is_whole)
        except OSError as error:
            raise KeyringUnusable(f"{file} cannot be read ({error.strerror}): make it readable for the bot.") from error
        wrapped = {}
        for number, line in enumerate(lines, start=1):
            entry = _parse(line)
            if entry is None:
                raise KeyringUnusable(f"Line {number} of {file} is damaged: put back the copy beside your backups.")
            wrapped[entry[0]] = entry[1]
        if not wrapped:
            raise KeyringUnusable(f"There is no keyring {file}: put back the copy beside your backups.")
        try:
            return cls(file, master, {name: _decrypt(master, name, key) for name, key in wrapped.items()})
        except InvalidTag as error:
            raise KeyringUnusable(
                f"The keyring {file} was made with another key: put back the KEY_FILE that belongs to it."
            ) from error

    @classmethod
    def create(cls, file: Path, master: bytes, *, pseudonyms: bytes | None = None) -> "Keyring":
        """Begin a keyring; `pseudonyms` is the key of pseudonyms that there are already, else a new one is drawn."""
        keys = {name: _new_key() for name in (INBOX, FINGERPRINTS, WATERMARK, PSEUDONYMS)}
        if pseudonyms is not None:
            keys[PSEUDONYMS] = pseudonyms
        _write(file, keys, master)  # whole or not at all
        return cls(file, master, keys)

    def key(self, name: str) -> bytes:
        """A key by its name, made when it is first asked for."""
        if name not in self._keys:
            key = _new_key()
            try:
                append_line(self._file, _line(name, key, self._master), _is_whole)
            except OSError as error:
                raise _unwritable(self._file, error) from error
            self._keys[name] = key
        return self._keys[name]

    def encrypt(self, name: str, text: str | None) -> str | None:
        """A text under the key of its owner; None stays None. What is encrypted already gets one more layer."""
        if text is None:
            return None
        return f"{_PREFIX}{name}:{_encrypt(self.key(name), name, text.encode())}"

    def decrypt(self, value: str | None) -> str | None:
        """The text under all layers; None where a key was erased. What was never encrypted is returned as it is."""
        while value is not None and value.startswith(_PREFIX):
            name, _, content = value.removeprefix(_PREFIX).partition(":")
            key = self._keys.get(name)
            try:
                value = None if key is None else _decrypt(key, name, content).decode()
            except InvalidTag:  # written under a key that has been erased, before its owner came back
                return None
        return value

    def erase(self, name: str) -> None:
        """Lose a key, on disk too; without it nobody reads what was encrypted with it."""
        if name in self._keys:
            _write(self._file, {other: key for other, key in self._keys.items() if other != name}, self._master)
            del self._keys[name]

    def rewrap(self, master: bytes) -> None:
        """Wrap every key by another master key. The keys, and what they encrypt, stay."""
        _write(self._file, dict(self._keys), master)
        self._master = master

    def copy_to(self, folder: Path) -> None:
        """Keep the present keyring in a folder too, in the place of an older copy."""
        _write(folder / self._file.name, dict(self._keys), self._master)  # other threads may add keys meanwhile


def _new_key() -> bytes:
    return AESGCM.generate_key(bit_length=8 * _KEY_BYTES)


def _encrypt(key: bytes, name: str, content: bytes) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, content, name.encode())).decode()


def _decrypt(key: bytes, name: str, value: str) -> bytes:
    whole = base64.b64decode(value)
    return AESGCM(key).decrypt(whole[:_NONCE_BYTES], whole[_NONCE_BYTES:], name.encode())


def _line(name: str, key: bytes, master: bytes) -> bytes:
    return json.dumps({"name": name, "wrapped": _encrypt(master, name, key)}).encode()


def _parse(line: bytes) -> tuple[str, str] | None:
    """The name of a key and the wrapped key."""
    try:
        fields = json.loads(line)
        name, wrapped = str(fields["name"]), str(fields["wrapped"])
        is_long_enough = len(base64.b64decode(wrapped, validate=True)) > _NONCE_BYTES + _KEY_BYTES
    except (ValueError, KeyError, TypeError):
        return None
    return (name, wrapped) if is_long_enough else None


def _is_whole(line: bytes) -> bool:
    return _parse(line) is not None


def _write(file: Path, keys: Mapping[str, bytes], master: bytes) -> None:
    attempt = file.with_name(f"{file.name}.attempt")
    try:
        attempt.unlink(missing_ok=True)
        create_private(attempt)
        attempt.write_bytes(b"".join(_line(name, key, master) + b"\n" for name, key in keys.items()))
        move_into_place(attempt, file)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> KeyringUnusable:
    return KeyringUnusable(f"{file} cannot be written ({error.strerror}): free or repair the disk.")
