"""Backups and restores under faults: killed anywhere, under load, damaged; what is promised can always be restored."""

import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.backup import backup, integrity, restore
from storage.backup.backup import Replay
from storage.db.database import Database, open_for_reading
from storage.db.errors import DatabaseUnusable
from storage.privacy.tombstones import Tombstone
from tests.support.killing import killed_at_syscall, need_strace, steps
from tests.support.stored.histories import opened, rows_of, write_history

NIGHT = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
REPEATED = [pytest.param(syscall, marks=pytest.mark.slow) for syscall in ("fsync", "unlink")]
"""Each stands beside one of the others, so that a kill at it leaves what a kill there leaves."""

BACK_UP = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from storage.backup.backup import create

create(Path(sys.argv[1]), Path(sys.argv[2]), now=datetime(2026, 11, 25, 3, 30, tzinfo=UTC), keep=1)
"""

RESTORE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from storage.backup.backup import Replay
from storage.backup.restore import restore

restore(Path(sys.argv[1]), Path(sys.argv[2]), Replay([]), now=datetime(2026, 11, 25, tzinfo=UTC))
"""

SCRUB = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from storage.backup.backup import Replay, kept, scrub
from storage.privacy.tombstones import Tombstone

scrub(kept(Path(sys.argv[1])), Replay([Tombstone("ada", datetime(2026, 11, 25, tzinfo=UTC))]))
"""

WRITE = """
import asyncio, sys
from pathlib import Path
from storage.backup.backup import Replay
from storage.db.database import Database

async def main():
    db = await Database.open(Path(sys.argv[1]))
    for number in range(1 << 30):
        def pair(c):
            c.execute("INSERT INTO people VALUES (?, 'left')", (f"{number} left",))
            c.execute("INSERT INTO people VALUES (?, 'right')", (f"{number} right",))
            c.execute("DELETE FROM people WHERE person IN (?, ?)", (f"{number - 500} left", f"{number - 500} right"))
        await db.write(pair)
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def live(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_history(tmp_path / "data" / "ovation.db", texts=12, seed=5)
    return tmp_path / "data" / "ovation.db"


def restores_to(file: Path, target: Path) -> int:
    """Restore a backup to an empty place and count what it holds of somebody."""
    target.parent.mkdir()
    restore.restore(file, target, Replay([]), now=NIGHT)
    return rows_of(target, "ada")


@pytest.mark.parametrize("syscall", ["pwrite64", "rename", *REPEATED])
def test_a_backup_killed_at_any_point_leaves_the_newest_one_restorable_and_the_next_one_works(
    live: Path, tmp_path: Path, syscall: str
) -> None:
    need_strace()
    folder = tmp_path / "backups"
    whole = rows_of(live, "ada")
    for step in steps():
        shutil.rmtree(folder, ignore_errors=True)
        backup.create(live, folder, now=NIGHT, keep=1)
        was_killed = killed_at_syscall(step, syscall, BACK_UP, live, folder)
        for made in backup.kept(folder):
            backup.verify(made)
        assert restores_to(backup.kept(folder)[-1], tmp_path / f"{step}" / "ovation.db") == whole
        assert integrity.examine(live).damage is None
        last = backup.create(live, folder, now=NIGHT + timedelta(days=2), keep=1)
        assert list(folder.iterdir()) == [last], "the attempt was cleared away"
        if not was_killed:
            break
    assert step > 1 and not was_killed, "some were killed, and the last was not"


@pytest.mark.parametrize("syscall", ["pwrite64", "rename", pytest.param("link", marks=pytest.mark.slow), *REPEATED])
def test_a_restore_killed_at_any_point_leaves_the_old_database_or_the_new_one_whole_and_a_rerun_succeeds(
    live: Path, tmp_path: Path, syscall: str
) -> None:
    need_strace()
    made = backup.create(live, tmp_path / "backups", now=NIGHT, keep=1)
    with opened(live) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("INSERT INTO people VALUES ('old', 'only in the log')")
        for suffix in ("", "-wal"):
            shutil.copy(f"{live}{suffix}", f"{tmp_path / 'crashed'}{suffix}")
    for step in steps():
        target = tmp_path / f"{step}" / "ovation.db"
        target.parent.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path / 'crashed'}{suffix}", f"{target}{suffix}")
        was_killed = killed_at_syscall(step, syscall, RESTORE, made, target)
        assert integrity.examine(target).damage is None
        is_old = rows_of(target, "old") == 1
        assert is_old or any(rows_of(aside, "old") == 1 for aside in restore.put_aside(target)), "the old one is kept"
        assert was_killed or not is_old
        assert rows_of(target, "ada") == rows_of(made, "ada")
        restore.restore(made, target, Replay([]), now=NIGHT + timedelta(days=2))
        assert rows_of(target, "old") == 0 and not target.with_name("ovation.db.restoring").exists()
        if not was_killed:
            break
    assert not was_killed, "it completed when it was not killed"


def test_forgetting_in_backups_killed_at_any_rename_leaves_each_whole_and_a_rerun_forgets(
    live: Path, tmp_path: Path
) -> None:
    need_strace()
    for step in steps():
        folder = tmp_path / f"{step}"
        for night in range(2):
            backup.create(live, folder, now=NIGHT + timedelta(days=night), keep=2)
        was_killed = killed_at_syscall(step, "rename", SCRUB, folder)
        for made in backup.kept(folder):
            backup.verify(made)
        backup.scrub(backup.kept(folder), Replay([Tombstone("ada", NIGHT + timedelta(days=9))]))
        assert [rows_of(made, "ada") for made in backup.kept(folder)] == [0, 0]
        assert len(list(folder.iterdir())) == 2
        if not was_killed:
            break
    assert step > 1 and not was_killed


def test_backups_under_write_load_are_each_one_moment_and_no_acknowledged_commit_is_lost(
    live: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    command = [sys.executable, "-B", "-c", WRITE, str(live)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        made = [backup.create(live, folder, now=NIGHT + timedelta(days=night), keep=None) for night in range(8)]
        writer.kill()
        acknowledged = int(writer.stdout.read().split()[-1])
    for file in made:
        backup.verify(file)
        with closing(open_for_reading(file)) as connection:
            sides = dict(
                connection.execute(
                    "SELECT first_seen_at, count(*) FROM people WHERE person LIKE '% left' OR person LIKE '% right'"
                    " GROUP BY 1"
                ).fetchall()
            )
        assert sides["left"] == sides["right"] > 0
    with closing(open_for_reading(live)) as connection:
        found = connection.execute("SELECT 1 FROM people WHERE person = ?", (f"{acknowledged} right",)).fetchone()
    assert found is not None and integrity.examine(live).damage is None


async def test_a_damaged_live_database_is_refused_with_a_sentence_and_a_restore_repairs_it(
    live: Path, tmp_path: Path
) -> None:
    made = backup.create(live, tmp_path / "backups", now=NIGHT, keep=1)
    whole = rows_of(live, "ada")
    content = live.read_bytes()
    for offset in range(4096, len(content), 4096):
        harmed = bytearray(content)
        harmed[offset : offset + 16] = b"\xff" * 16
        live.write_bytes(harmed)
        with pytest.raises(DatabaseUnusable, match="restore a backup"):
            await Database.open(live)
    restore.restore(made, live, Replay([]), now=NIGHT)
    db = await Database.open(live)
    await db.close()
    assert rows_of(live, "ada") == whole


def test_reading_backups_and_the_live_database_leaves_the_live_file_unopened(
    live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and closing the live file in the bot's process would drop SQLite's locks on it."""
    paths: list[str] = []
    real_open = Path.open

    def noted(self: Path, *arguments: object, **more: object) -> object:
        paths.append(str(self))
        return real_open(self, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", noted)
    made = backup.create(live, tmp_path / "backups", now=NIGHT, keep=1)
    integrity.examine(live)
    backup.scrub([made], Replay([Tombstone("ada", NIGHT)]))
    assert paths and not [path for path in paths if path.startswith(str(live))]
