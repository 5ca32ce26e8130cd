"""One run at a time, one run a slot, one champion a base, and a way back."""

from datetime import timedelta

from storage.db.database import Database
from storage.db.records import ProgressMessage, Version
from storage.tables import runs, versions
from tests.storage.conftest import NOON


async def end(db: Database, run: int) -> None:
    await runs.end(db, run, verdict="rejected", reason="not_better", numbers={}, version="starter", at=NOON)


async def test_one_run_at_a_time_and_one_run_a_slot(db: Database) -> None:
    first = await runs.start(db, slot="2026-11-23 03:30", at=NOON)
    assert first is not None
    assert await runs.start(db, slot=None, at=NOON) is None
    await end(db, first.id)
    assert await runs.start(db, slot="2026-11-23 03:30", at=NOON) is None
    assert await runs.start(db, slot=None, at=NOON) is not None


async def test_a_cut_off_run_is_resumed_and_counted(db: Database) -> None:
    assert await runs.resume(db) is None
    await runs.start(db, slot=None, at=NOON)
    resumed = await runs.resume(db)
    assert resumed is not None and resumed.attempts == 2


async def test_an_announcement_follows_its_run(db: Database) -> None:
    run = await runs.start(db, slot=None, at=NOON)
    assert run is not None
    message = ProgressMessage(chat_id=7, message_id=8, language="zh")
    await runs.add_progress_message(db, run.id, message)
    assert await runs.progress_messages(db, run.id) == [message]


def version(name: str, minutes: int) -> Version:
    return Version(name=name, base="starter", run=None, state="candidate", created_at=NOON + timedelta(minutes=minutes))


async def champion(db: Database) -> str | None:
    found = await versions.in_state(db, "starter", "champion")
    return found.name if found else None


async def test_there_is_one_champion_and_a_way_back(db: Database) -> None:
    await versions.register_base(db, "starter", at=NOON)
    assert await champion(db) == "starter"
    for number in (1, 2):
        await versions.add(db, version(f"v{number}", number))
        await versions.promote(db, f"v{number}", at=NOON + timedelta(minutes=number))
    assert await champion(db) == "v2"
    previous = await versions.previous_champion(db, "starter")
    assert previous is not None and previous.name == "v1"
    await versions.promote(db, "v1", at=NOON + timedelta(minutes=3))
    await versions.register_base(db, "starter", at=NOON)
    assert await champion(db) == "v1"


async def test_a_canary_retires_when_a_champion_is_promoted(db: Database) -> None:
    await versions.register_base(db, "starter", at=NOON)
    await versions.add(db, version("v1", 1))
    await versions.make_canary(db, "v1", at=NOON)
    assert await champion(db) == "starter"
    await versions.promote(db, "v1", at=NOON)
    assert await champion(db) == "v1" and await versions.in_state(db, "starter", "canary") is None


async def test_a_discarded_version_is_nothing_to_go_back_to(db: Database) -> None:
    await versions.register_base(db, "starter", at=NOON)
    await versions.add(db, version("v1", 1))
    await versions.promote(db, "v1", at=NOON + timedelta(minutes=1))
    await versions.promote(db, "starter", at=NOON + timedelta(minutes=2))
    await versions.discard(db, "v1")
    assert await versions.previous_champion(db, "starter") is None


async def test_versions_of_another_base_are_left_alone(db: Database) -> None:
    await versions.register_base(db, "starter", at=NOON)
    await versions.register_base(db, "qwen3-0.6b", at=NOON)
    assert await champion(db) == "starter"
    assert [v.name for v in await versions.of_base(db, "qwen3-0.6b")] == ["qwen3-0.6b"]
