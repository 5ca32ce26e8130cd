"""Backups as a service: one at a time, on a thread, so that the bot answers meanwhile.

Knows where backups lie and how many are kept. Knows nothing of what is in them and no Telegram type.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from storage.backup import backup
from storage.backup.backup import Scrubbed
from storage.backup.restore import put_aside
from storage.db.keyring import Keyring
from storage.privacy import tombstones
from storage.privacy.mentions import Names


class Backups:
    """Makes backups of one database and forgets people in them."""

    def __init__(
        self,
        *,
        database: Path,
        folder: Path,
        keep: int,
        tombstones: Path,
        names: Names | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self._database = database
        self._folder = folder
        self._keep = keep
        self._tombstones = tombstones
        self._names = names
        self._keyring = keyring
        self._lock = asyncio.Lock()

    async def make(self) -> Path:
        """Make a backup, check it, and remove the oldest ones that are too many; the keyring lies beside them.

        Raises:
            BackupFailed, KeyringUnusable: it could not be made; the others are as they were.
        """
        async with self._lock:
            made = await asyncio.to_thread(
                backup.back_up, self._database, self._folder, now=datetime.now(UTC), keep=self._keep
            )
            await asyncio.to_thread(self._copy_keyring)
            return made

    async def scrub(self) -> Scrubbed:
        """Forget in every backup, and in databases that a restore has put aside, those who asked to be forgotten.

        Raises:
            BackupFailed, TombstonesUnusable: it could not be done; a later try goes on.
        """
        async with self._lock:
            return await asyncio.to_thread(self._scrub)

    def newest(self) -> tuple[Path, datetime] | None:
        """The newest backup and when it was made."""
        kept = backup.kept(self._folder)
        return (kept[-1], backup.made_at(kept[-1])) if kept else None

    def _copy_keyring(self) -> None:
        if self._keyring is not None and self._folder.is_dir():
            self._keyring.copy_to(self._folder)

    def _scrub(self) -> Scrubbed:
        self._copy_keyring()  # or the copy would still hold the keys of those who are forgotten
        files = [*backup.kept(self._folder), *put_aside(self._database)]
        return backup.scrub(files, tombstones.read(self._tombstones), self._names, self._keyring)
