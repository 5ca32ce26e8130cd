"""A backup is whole or not there, what is restored is what was backed up, and who was forgotten stays forgotten."""

import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.backup import backup, restore
from storage.backup.backup import Replay, Scrubbed
from storage.backup.restore import Restored
from storage.db import schema
from storage.db.database import Database
from storage.db.errors import BackupFailed, BackupUnusable
from storage.privacy.tombstones import Tombstone
from tests.storage.conftest import NOON, delivered
from tests.support.stored.histories import PEOPLE, files_with, opened, rows_of, words_of, write_history
from tests.support.stored.keys import keyring_in

NIGHT = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A database with a past, that nobody has open."""
    (tmp_path / "data").mkdir()
    write_history(tmp_path / "data" / "ovation.db", texts=60, seed=1)
    return tmp_path / "data" / "ovation.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "backups"


def back_up(live: Path, folder: Path, *, now: datetime = NIGHT, keep: int | None = 7) -> Path:
    return backup.create(live, folder, now=now, keep=keep)


def bring_back(file: Path, live: Path, *tombstones: Tombstone, now: datetime = NIGHT) -> Restored:
    return restore.restore(file, live, Replay(tombstones), now=now)


def dump(path: Path) -> list[str]:
    with opened(path) as connection:
        return sorted(connection.iterdump())


async def test_a_backup_is_taken_while_the_bot_has_the_database_open(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    await delivered(db, 1)
    made = backup.create(tmp_path / "ovation.db", tmp_path / "backups", now=NIGHT, keep=7)
    await delivered(db, 2)
    backup.verify(made)
    assert rows_of(made, "ada") == 2 and made.name == "ovation-20261124T033000Z.db"
    assert made.stat().st_mode & 0o777 == 0o600 and made.parent.stat().st_mode & 0o777 == 0o700
    assert backup.made_at(made) == NIGHT
    await db.close()
    assert rows_of(tmp_path / "ovation.db", "ada") == 3


def test_the_newest_are_kept_and_the_one_just_made_always_is(live: Path, folder: Path) -> None:
    for night in range(5):
        back_up(live, folder, now=NIGHT + timedelta(days=night), keep=3)
    (folder / "notes.txt").write_text("mine")
    assert [made.name[8:16] for made in backup.kept(folder)] == ["20261126", "20261127", "20261128"]
    with_the_clock_wrong = back_up(live, folder, now=NIGHT - timedelta(days=900), keep=3)
    assert with_the_clock_wrong in backup.kept(folder) and len(backup.kept(folder)) == 4
    only = back_up(live, folder, now=NIGHT + timedelta(days=9), keep=0)
    assert backup.kept(folder) == [only] and (folder / "notes.txt").exists()
    back_up(live, folder, now=NIGHT, keep=None)
    assert len(backup.kept(folder)) == 2


def test_a_backup_in_the_same_second_does_not_replace_the_first(live: Path, folder: Path) -> None:
    first, second = back_up(live, folder), back_up(live, folder)
    assert [first, second] == backup.kept(folder) and first != second


def test_what_killed_attempts_left_is_removed(live: Path, folder: Path) -> None:
    back_up(live, folder)
    for name in (".ovation-backup-1", ".ovation-backup-1-journal"):
        (folder / name).write_bytes(b"half")
    made = back_up(live, folder, keep=1)
    assert list(folder.iterdir()) == [made]


def test_a_backup_under_ones_own_name_never_replaces_a_file(live: Path, tmp_path: Path) -> None:
    backup.create_at(live, tmp_path / "mine.db")
    backup.verify(tmp_path / "mine.db")
    with pytest.raises(BackupFailed, match="exists already"):
        backup.create_at(live, tmp_path / "mine.db")


def test_a_database_that_is_not_there_or_damaged_gives_no_backup_and_costs_none(live: Path, folder: Path) -> None:
    good = back_up(live, folder)
    for harm in (lambda: _overwrite(live, 3 * 4096, b"\xff" * 4096), live.unlink):
        harm()
        with pytest.raises(BackupFailed, match="No backup could be written"):
            back_up(live, folder, keep=1)
        assert list(folder.iterdir()) == [good]


def _overwrite(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as handle:
        handle.seek(offset)
        handle.write(content)


def test_one_flipped_bit_anywhere_in_a_backup_is_noticed(live: Path, folder: Path, tmp_path: Path) -> None:
    made = back_up(live, folder)
    whole = made.read_bytes()
    rng = random.Random(3)
    places = [*range(100), *(rng.randrange(len(whole)) for _ in range(100)), len(whole) - 1]
    harmed = tmp_path / "harmed.db"
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        harmed.write_bytes(flipped)
        with pytest.raises(BackupUnusable):
            backup.verify(harmed)


def test_a_truncated_or_lengthened_backup_is_noticed(live: Path, folder: Path, tmp_path: Path) -> None:
    whole = back_up(live, folder).read_bytes()
    harmed = tmp_path / "harmed.db"
    for content in (b"", whole[:50], whole[:100], whole[:4096], whole[:-1], whole + b"\0", whole + bytes(4096)):
        harmed.write_bytes(content)
        with pytest.raises(BackupUnusable):
            backup.verify(harmed)


def test_what_is_no_backup_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ovation, " * 100)
    sqlite3.connect(tmp_path / "other.db").close()
    with opened(tmp_path / "another.db") as connection:
        connection.execute("CREATE TABLE migrations_of_birds (a)")
    for name in ("letter.txt", "other.db", "another.db"):
        with pytest.raises(BackupUnusable, match="is no backup of Ovation"):
            backup.verify(tmp_path / name)
    for name in ("nothing.db", "."):
        with pytest.raises(BackupUnusable, match="cannot be read"):
            backup.verify(tmp_path / name)


def test_a_backup_of_a_newer_ovation_is_refused(live: Path, folder: Path) -> None:
    with opened(live) as connection:
        connection.execute("INSERT INTO migrations VALUES ('9999 future', 'then')")
    made = back_up(live, folder)
    with pytest.raises(BackupUnusable, match="newer Ovation"):
        bring_back(made, live)


def test_a_restore_brings_back_exactly_what_was_backed_up(live: Path, folder: Path) -> None:
    before = dump(live)
    made = back_up(live, folder)
    with opened(live) as connection:
        connection.execute("DELETE FROM ratings")
    after = dump(live)
    restored = bring_back(made, live)
    assert dump(live) == before != after
    assert restored.put_aside is not None and dump(restored.put_aside) == after
    assert restored.put_aside.name == "ovation.db.before-restore-20261124T033000Z"
    assert restore.put_aside(live) == [restored.put_aside]


async def test_a_restored_database_is_live_again_and_can_be_backed_up_and_restored_again(
    live: Path, folder: Path
) -> None:
    bring_back(back_up(live, folder), live)
    db = await Database.open(live, keyring_in(live.parent))
    await delivered(db, 5000)
    await db.close()
    count = rows_of(live, "ada")
    restored = bring_back(back_up(live, folder), live)
    assert rows_of(live, "ada") == count
    assert restored.put_aside is not None
    bring_back(restored.put_aside, live)  # a database that was put aside is as good as a backup
    assert rows_of(live, "ada") == count


def test_an_older_backup_is_brought_up_to_the_schema(live: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = live.with_name("old.db")
    with monkeypatch.context() as patch, opened(old) as connection:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        schema.migrate(connection)
        connection.execute("INSERT INTO people VALUES ('ada', ?), ('bob', ?)", (NOON.isoformat(), NOON.isoformat()))
    made = back_up(old, folder)
    assert backup.scrub([made], Replay([Tombstone("bob", NIGHT)])) == Scrubbed((made,))
    backup.verify(made)
    bring_back(made, live, Tombstone("ada", NIGHT))
    with opened(live) as connection:
        assert schema.pending(connection) == []
        assert connection.execute("SELECT count(*) FROM people").fetchone()[0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_restore_of_an_older_backup_brings_nothing_of_a_forgotten_person_back(tmp_path: Path, seed: int) -> None:
    old, live = tmp_path / "old" / "ovation.db", tmp_path / "data" / "ovation.db"
    for path in (old, live):
        path.parent.mkdir()
    write_history(old, texts=200, seed=seed)
    made = back_up(old, tmp_path / "backups")
    restored = bring_back(made, live, Tombstone("ada", NIGHT), Tombstone("bob", NIGHT))
    assert len(restored.erased.generations) > 40 and restored.put_aside is None
    assert files_with(live.parent, b"ada") == [] and files_with(live.parent, b"bob") == []
    assert all(files_with(live.parent, words_of(person)) == ["ovation.db"] for person in PEOPLE[2:])


def test_scrubbing_forgets_in_every_backup_that_holds_something_and_leaves_the_others(live: Path, folder: Path) -> None:
    empty = live.with_name("empty.db")
    with opened(empty) as connection:
        schema.migrate(connection)
    without, with_her = back_up(empty, folder), back_up(live, folder, now=NIGHT + timedelta(days=1))
    untouched = without.read_bytes()
    stones = [Tombstone("ada", NIGHT)]
    assert backup.scrub(backup.kept(folder), Replay(stones)) == Scrubbed((with_her,))
    assert files_with(folder, b"ada") == [] and files_with(folder, words_of("bob")) == [with_her.name]
    assert without.read_bytes() == untouched
    for made in backup.kept(folder):
        backup.verify(made)
    assert backup.scrub(backup.kept(folder), Replay(stones)) == Scrubbed()
    assert with_her.stat().st_mode & 0o777 == 0o600 and len(list(folder.iterdir())) == 2


def test_a_damaged_backup_is_named_by_scrubbing_and_stops_nothing(live: Path, folder: Path) -> None:
    damaged, good = back_up(live, folder), back_up(live, folder)
    _overwrite(damaged, 5000, b"damage")
    assert backup.scrub(backup.kept(folder), Replay([Tombstone("ada", NIGHT)])) == Scrubbed((good,), (damaged,))
    assert backup.scrub(backup.kept(folder), Replay([])) == Scrubbed()


def test_people_are_forgotten_in_a_database_that_was_put_aside_too(live: Path, folder: Path) -> None:
    bring_back(back_up(live, folder), live)
    (aside,) = restore.put_aside(live)
    stones = [Tombstone("ada", NIGHT)]
    assert backup.scrub(restore.put_aside(live), Replay(stones)) == Scrubbed((aside,))
    assert rows_of(aside, "ada") == 0
    assert len(list(live.parent.glob(f"{aside.name}*"))) == 1, "nothing is left beside it"


async def test_what_only_the_log_held_is_put_aside_too_and_never_played_into_the_restored_database(
    live: Path, folder: Path, tmp_path: Path
) -> None:
    made = back_up(live, folder)
    before = dump(live)
    crashed = _crashed_copy(live, tmp_path / "crashed" / "ovation.db")
    restored = bring_back(made, crashed)
    assert dump(crashed) == before
    assert restored.put_aside is not None and rows_of(restored.put_aside, "only in the log") == 1


def _crashed_copy(live: Path, target: Path) -> Path:
    """The database as a killed bot leaves it: with rows that are in its log only."""
    target.parent.mkdir()
    with opened(live) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("INSERT INTO people VALUES ('only in the log', ?)", (NOON.isoformat(),))
        for suffix in ("", "-wal"):
            shutil.copy(f"{live}{suffix}", f"{target}{suffix}")
        connection.execute("DELETE FROM people WHERE person = 'only in the log'")
    return target


def test_the_log_of_a_damaged_database_is_kept_with_it(live: Path, folder: Path, tmp_path: Path) -> None:
    made = back_up(live, folder)
    before = dump(live)
    crashed = _crashed_copy(live, tmp_path / "crashed" / "ovation.db")
    log = crashed.with_name("ovation.db-wal").read_bytes()
    _overwrite(crashed, 0, b"no database any more")
    damaged = crashed.read_bytes()
    restored = bring_back(made, crashed)
    assert dump(crashed) == before
    assert restored.put_aside is not None and restored.put_aside.read_bytes() == damaged
    assert Path(f"{restored.put_aside}-wal").read_bytes() == log


def test_the_log_of_a_lost_database_is_not_played_into_the_restored_one(
    live: Path, folder: Path, tmp_path: Path
) -> None:
    made = back_up(live, folder)
    before = dump(live)
    crashed = _crashed_copy(live, tmp_path / "crashed" / "ovation.db")
    crashed.unlink()
    assert bring_back(made, crashed).put_aside is None
    assert dump(crashed) == before


@pytest.mark.parametrize("step", ["_copy", "_bring_up_to_date", "_check", "fsync", "link_or_copy", "move_into_place"])
def test_a_restore_that_fails_at_any_step_leaves_the_database_as_it_was(
    live: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made = back_up(live, folder)
    crashed = _crashed_copy(live, tmp_path / "crashed" / "ovation.db")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore if hasattr(restore, step) else backup, step, full)
    with pytest.raises(BackupFailed, match="No space left.*the database is as it was"):
        bring_back(made, crashed)
    assert rows_of(crashed, "only in the log") == 1
    assert not crashed.with_name("ovation.db.restoring").exists()


def test_a_failing_last_step_gives_a_damaged_database_its_log_back(
    live: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(live, folder)
    crashed = _crashed_copy(live, tmp_path / "crashed" / "ovation.db")
    log = crashed.with_name("ovation.db-wal")
    whole_log = log.read_bytes()
    _overwrite(crashed, 0, b"no database any more")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore, "move_into_place", full)
    with pytest.raises(BackupFailed):
        bring_back(made, crashed)
    assert log.read_bytes() == whole_log


def test_where_the_file_system_knows_no_links_the_old_database_is_copied(
    live: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(live, folder)

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    restored = bring_back(made, live)
    assert restored.put_aside is not None and rows_of(restored.put_aside, "ada") == rows_of(live, "ada")
