"""Each hour the folders of old runs go, but never one that a version or a run under way needs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock

import pytest

from bot.common.settings import Settings
from bot.learning.nightly import prune_runs, run_folder
from bot.privacy.retention import Retention
from storage.db.database import Database
from storage.db.records import RunVerdict, Version
from storage.tables import runs, versions
from tests.support.stored.keys import keyring_in

NOW = datetime.now(UTC)


def folders(data: Path) -> list[int]:
    return sorted(int(path.name) for path in (data / "runs").iterdir() if path.name.isdigit() and path.is_dir())


def make_folder(data: Path, run: int) -> None:
    folder = run_folder(data, run) / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")


async def end_run(db: Database, data: Path, verdict: RunVerdict, *, at: datetime) -> int:
    run = await runs.start(db, slot=None, at=at)
    assert run is not None
    make_folder(data, run.id)
    await runs.end(db, run.id, verdict=verdict, reason="better", numbers={}, version="starter", at=at)
    if verdict == "promoted":
        new = Version(name=f"v{run.id}", base="starter", run=run.id, state="candidate", created_at=at)
        assert await versions.add(db, new)
    return run.id


async def test_old_runs_go_and_those_that_versions_need_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None
) -> None:
    monkeypatch.chdir(tmp_path)
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    settings = Settings(telegram_bot_token="1:AAE", data_dir=tmp_path, runs_keep=2)
    retention = Retention(db=db, router=MagicMock(base="starter", retire_tainted=AsyncMock()), settings=settings)
    try:
        await retention.sweep()  # there is no run yet
        begun = NOW - timedelta(days=20)
        await versions.register_base(db, "starter", at=begun)
        ids = [await end_run(db, tmp_path, "promoted", at=begun + timedelta(days=day)) for day in range(5)]
        for day, run in enumerate(ids[:3]):
            await versions.promote(db, f"v{run}", at=begun + timedelta(days=day))
        await versions.make_canary(db, f"v{ids[3]}", at=NOW)
        for day in range(5, 9):
            await end_run(db, tmp_path, "rejected", at=begun + timedelta(days=day))
        present = await runs.start(db, slot=None, at=NOW)
        assert present is not None
        make_folder(tmp_path, present.id)
        (tmp_path / "runs" / "notes").mkdir()
        (tmp_path / "runs" / "00001.txt").write_text("mine")
        await retention.sweep()
        previous, champion, canary, candidate = ids[1:]
        assert folders(tmp_path) == [previous, champion, canary, candidate, present.id - 1, present.id]
        assert (tmp_path / "runs" / "notes").is_dir() and (tmp_path / "runs" / "00001.txt").exists()

        await versions.promote(db, f"v{previous}", at=NOW)  # as /rollback does
        await retention.sweep()
        assert {previous, champion} <= set(folders(tmp_path))
    finally:
        await db.close()


@pytest.mark.parametrize(("keep", "left"), [(1, [2, 12]), (2, [2, 11, 12]), (10, [1, 2, 10, 11, 12])])
def test_the_newest_are_kept_by_their_number(tmp_path: Path, keep: int, left: list[int]) -> None:
    assert prune_runs(tmp_path, keep=keep, needed={2}) == 0
    for run in (1, 2, 10, 11, 12):
        make_folder(tmp_path, run)
    (tmp_path / "runs" / "00000").symlink_to(tmp_path)
    assert prune_runs(tmp_path, keep=keep, needed={2, 99}) == 5 - len(left)
    (tmp_path / "runs" / "00000").unlink()
    assert folders(tmp_path) == left
