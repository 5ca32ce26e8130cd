"""The service makes one backup at a time beside a running bot, and forgets in all of them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.common.keys import Keys, Pseudonyms
from bot.common.settings import DataSettings
from bot.operations.backups import Backups
from storage.backup import backup
from storage.db.database import Database
from storage.db.errors import BackupFailed
from storage.db.keyring import PSEUDONYMS
from storage.privacy import tombstones
from storage.privacy.tombstones import Tombstone
from tests.storage.conftest import delivered
from tests.support.stored.histories import rows_of
from tests.support.stored.keys import keyring_in


def service(folder: Path, *, keep: int = 7) -> Backups:
    settings = DataSettings(data_dir=folder, backups_keep=keep)
    keyring = keyring_in(folder)
    return Backups(settings, Keys(keyring, Pseudonyms(keyring.key(PSEUDONYMS))))


async def test_backups_asked_for_together_are_made_one_after_another_while_the_bot_writes(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    backups = service(tmp_path)
    assert backups.newest() is None
    began = datetime.now(UTC).replace(microsecond=0)
    made = asyncio.gather(*(backups.make() for _ in range(4)))
    for update_id in range(1, 20):
        await delivered(db, update_id)
    files = await made
    newest = backups.newest()
    assert newest is not None and newest[0] == files[-1] and newest[1] >= began
    assert backup.kept(tmp_path / "backups") == files
    for file in files:
        backup.verify(file)
    await db.close()


async def test_scrubbing_forgets_whom_the_tombstones_name(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    await delivered(db, 1, author="ada")
    await delivered(db, 2, author="bob")
    backups = service(tmp_path)
    made = await backups.make()
    assert (await backups.scrub()).rewritten == ()
    tombstones.append(tmp_path / "tombstones.jsonl", Tombstone("ada", datetime.now(UTC)))
    assert (await backups.scrub()).rewritten == (made,)
    assert rows_of(made, "ada") == 0 and rows_of(made, "bob") == 2
    await db.close()


async def test_a_backup_that_cannot_be_made_says_so_and_costs_none(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="No backup could be written"):
        await service(tmp_path).make()
    assert backup.kept(tmp_path / "backups") == []


async def test_by_hand_there_is_a_backup_even_where_the_nights_make_none(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    made = [await service(tmp_path, keep=0).make() for _ in range(2)]
    assert backup.kept(tmp_path / "backups") == made[1:]
    await db.close()
