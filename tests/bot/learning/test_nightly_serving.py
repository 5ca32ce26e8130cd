"""What becomes of a version that has passed: it is tried out or promoted once, also when the bot dies in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from bot.common.settings import OfflineSettings
from bot.learning.nightly import Nightly
from bot.reporting.run_messages import verdict_sentence
from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from engine.runs.run_dir import Reason, RunReport, strip_run, write_report
from engine.runs.versions import publish
from storage.db.database import Database
from storage.db.records import Run, Version
from storage.tables import runs, versions
from tests.support.stored.keys import keyring_in

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Night:
    """Runs that have published their version, and were cut off before they had a verdict."""

    db: Database
    http: httpx.AsyncClient
    folder: Path
    concluded: list[str | None] = field(default_factory=list)

    async def take_up(self, *, share: float) -> Run:
        """Start the bot's nightly part on them; returns the run with its verdict."""
        client = EngineClient("http://engine", http=self.http)
        router = VersionRouter(db=self.db, engine=client, folder=self.folder / "versions", canary_share=share)
        await router.load_versions()

        async def conclude() -> None:
            self.concluded.append(router.canary)

        settings = OfflineSettings(data_dir=self.folder, min_ratings=2, canary_share=share, tenure_days=0)
        nightly = Nightly(db=self.db, router=router, settings=settings, conclude_canary=conclude)
        ended: asyncio.Queue[Run] = asyncio.Queue()
        nightly.on_end = ended.put
        await nightly.resume()
        return await asyncio.wait_for(ended.get(), 60)


def engine(request: httpx.Request) -> httpx.Response:
    """Stands in at the engine's HTTP border: one base, and every version is taken."""
    return httpx.Response(200, json={"data": [{"id": "starter"}]})


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    """The champion is `old`; run 1 has published v1."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    await versions.register_base(db, "starter", at=NOW)
    run = await runs.start(db, slot=None, at=NOW)
    assert run is not None and run.id == 1
    for name, made_by in (("old", None), ("v1", run.id)):
        publish(adapter, tmp_path / "versions", name)
        await versions.add(db, Version(name=name, base="starter", run=made_by, state="candidate", created_at=NOW))
    await versions.promote(db, "old", at=NOW)
    (tmp_path / "runs" / "00001").mkdir(parents=True)
    write_report(tmp_path / "runs" / "00001", RunReport(passed=True, reason=Reason("better", {"gain": 0.1})))
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        yield Night(db, http, tmp_path)
    await db.close()


async def test_a_canary_begins_a_trial_and_the_admin_reads_of_its_share(night: Night) -> None:
    run = await night.take_up(share=0.25)
    assert (run.verdict, run.version, night.concluded) == ("canary", "v1", [None])
    assert "v1 is on trial: it writes 25 % of the texts" in verdict_sentence(run, "en")
    assert "25 %" in verdict_sentence(run, "zh")
    trial = await versions.open_trial(night.db, "starter")
    assert trial is not None and (trial.version, trial.reference, trial.mode) == ("v1", "old", "canary")


async def test_a_canary_that_answers_already_keeps_its_trial_when_its_run_is_taken_up_again(night: Night) -> None:
    await versions.make_canary(night.db, "v1", at=NOW)
    before = await versions.open_trial(night.db, "starter")
    assert (await night.take_up(share=0.25)).verdict == "canary"
    assert night.concluded == [], "its own trial is not over"
    assert await versions.open_trial(night.db, "starter") == before


async def test_a_champion_that_was_promoted_already_is_still_watched_when_its_run_is_taken_up_again(
    night: Night,
) -> None:
    await versions.promote(night.db, "v1", at=NOW)
    before = await versions.open_trial(night.db, "starter")
    assert before is not None and before.mode == "watch"
    assert (await night.take_up(share=0)).verdict == "promoted"
    assert await versions.open_trial(night.db, "starter") == before


async def test_the_canary_before_it_is_concluded_first(night: Night) -> None:
    await versions.promote(night.db, "starter", at=NOW)
    await versions.make_canary(night.db, "old", at=NOW)
    assert (await night.take_up(share=0.5)).verdict == "canary"
    assert night.concluded == ["old"]


async def test_a_run_whose_report_lost_erased_words_still_serves_when_it_is_taken_up_again(night: Night) -> None:
    strip_run(night.folder / "runs" / "00001")
    assert (await night.take_up(share=0)).verdict == "promoted"
