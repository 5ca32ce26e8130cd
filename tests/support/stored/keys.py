"""A keyring for tests that open a database of their own; the same for the same folder."""

from pathlib import Path

from storage.db.keyring import Keyring

MASTER = bytes(range(32))


def keyring_in(folder: Path) -> Keyring:
    file = folder / "keyring.jsonl"
    return Keyring.open(file, MASTER) if file.exists() else Keyring.create(file, MASTER)
