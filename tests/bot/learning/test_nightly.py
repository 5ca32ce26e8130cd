"""Whatever happens to a run, it ends with a verdict and a reason, and the champion serves on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from bot.common.settings import OfflineSettings
from bot.learning.nightly import Nightly
from bot.learning.trainer_process import run_config
from bot.reporting.run_messages import verdict_sentence
from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from storage.db.database import Database
from storage.db.records import RatingEvent, Run
from storage.tables import people, ratings, runs
from tests.storage.conftest import delivered
from tests.support.stored.keys import keyring_in

NOW = datetime.now(UTC)


def engine(request: httpx.Request) -> httpx.Response:
    """Stands in at the engine's HTTP border: one base, no adapters."""
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "starter"}]})
    return httpx.Response(404, json={"error": {"message": "There is nothing here."}})


class Night:
    """A nightly with a database, and the runs it has ended."""

    def __init__(self, db: Database, nightly: Nightly) -> None:
        self.db = db
        self.nightly = nightly
        self.ended: asyncio.Queue[Run] = asyncio.Queue()
        nightly.on_end = self.ended.put

    async def run(self) -> Run:
        assert await self.nightly.begin() is not None
        return await asyncio.wait_for(self.ended.get(), 60)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=db, engine=client, folder=tmp_path / "versions", canary_share=0)
        await router.load_versions()
        settings = OfflineSettings(
            data_dir=tmp_path, model=str(tmp_path / "no-such-model"), min_ratings=2, tenure_days=0
        )
        nightly = Nightly(db=db, router=router, settings=settings)
        yield Night(db, nightly)
        await nightly.close()
    await db.close()


async def rate(db: Database, count: int) -> None:
    for person in ("ada", "bob"):
        await people.grant(db, person, "tea", text_version=1, at=NOW)
    for number in range(1, count + 1):
        generation = await delivered(db, number)
        for offset, rater in enumerate(("ada", "bob")):
            await ratings.record(
                db,
                RatingEvent(
                    update_id=1000 + 2 * number + offset,
                    generation=generation.id,
                    rater=rater,
                    source="reaction",
                    value=1.0 if number % 2 else -1.0,
                    emoji="x",
                    at=NOW,
                ),
            )


ENDLESS = "touch $3/begun; exec sleep 600"


async def has_begun(folder: Path) -> None:
    """Wait for the trainer of the first run."""
    async with asyncio.timeout(60):
        while not (folder / "runs" / "00001" / "begun").exists():
            await asyncio.sleep(0.02)


async def test_too_few_ratings_skip_the_run(night: Night) -> None:
    run = await night.run()
    assert (run.verdict, run.reason, run.numbers) == ("skipped", "too_few_ratings", {"have": 0, "need": 2})
    assert run.version == "starter"


async def test_a_trainer_that_fails_fails_the_run_and_leaves_no_texts_behind(
    night: Night, tmp_path: Path, trainer_does: Callable[[str], None]
) -> None:
    trainer_does("cat > /dev/null; echo The base is broken. >&2; exit 1")
    await rate(night.db, 20)
    run = await night.run()
    assert (run.verdict, run.reason, run.version) == ("failed", "trainer", "starter")
    assert (tmp_path / "runs" / "00001" / "config.json").exists()
    assert not list((tmp_path / "runs").rglob("dataset.jsonl"))
    assert "/retrain tries again" in verdict_sentence(run, "en") and "失败" in verdict_sentence(run, "zh")


@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$"])
async def test_a_trainer_without_memory_is_told_as_such(
    night: Night, trainer_does: Callable[[str], None], end: str
) -> None:
    trainer_does(end)
    await rate(night.db, 20)
    run = await night.run()
    assert (run.verdict, run.reason) == ("failed", "memory")
    assert "not enough memory" in verdict_sentence(run, "en")


async def test_a_full_disk_fails_the_run(night: Night, tmp_path: Path) -> None:
    await rate(night.db, 20)
    (tmp_path / "runs").write_text("a file where the folder should be")
    run = await night.run()
    assert (run.verdict, run.reason) == ("failed", "disk")


async def test_a_run_that_was_cut_off_is_tried_once_more_and_then_given_up(night: Night) -> None:
    await rate(night.db, 20)
    assert await runs.start(night.db, slot=None, at=NOW) is not None
    for _ in range(2):
        await runs.resume(night.db)  # two starts of the bot that did not get through the run
    await night.nightly.resume()
    run = await asyncio.wait_for(night.ended.get(), 60)
    assert (run.verdict, run.reason) == ("failed", "interrupted")


async def test_stopping_leaves_the_run_open_for_the_next_start(
    night: Night, tmp_path: Path, trainer_does: Callable[[str], None]
) -> None:
    trainer_does(ENDLESS)
    await rate(night.db, 20)
    assert await night.nightly.begin() is not None
    await has_begun(tmp_path)
    await night.nightly.close()
    open_run = await runs.latest(night.db)
    assert open_run is not None and open_run.verdict is None
    trainer_does("exit 1")
    await night.nightly.resume()
    assert (await asyncio.wait_for(night.ended.get(), 60)).attempts == 2


async def test_a_cancelled_run_is_skipped(night: Night, tmp_path: Path, trainer_does: Callable[[str], None]) -> None:
    trainer_does(ENDLESS)
    await rate(night.db, 20)
    assert not night.nightly.cancel()
    assert await night.nightly.begin() is not None
    await has_begun(tmp_path)
    assert night.nightly.cancel()
    run = await asyncio.wait_for(night.ended.get(), 60)
    assert (run.verdict, run.reason) == ("skipped", "cancelled")
    assert await night.nightly.begin() is not None


async def test_an_ended_run_loses_its_words_and_the_present_one_goes_on(night: Night, tmp_path: Path) -> None:
    await night.run()
    await rate(night.db, 20)
    present = await night.nightly.begin()
    assert present is not None
    for number in (1, present.id):
        (tmp_path / "runs" / f"{number:05}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / f"{number:05}" / "report.html").write_text("words")
    await night.nightly.strip([1, present.id])
    assert not (tmp_path / "runs" / "00001" / "report.html").exists()
    assert night.nightly.cancel()


def test_an_objective_without_taste_trains_on_the_rated_texts_alone() -> None:
    assert run_config("starter").policy_steps > 0
    assert run_config("starter", objective="kto").policy_steps == 0


def test_a_run_keeps_to_a_budget_of_work() -> None:
    config = run_config("starter", minutes=3, steps=7, niceness=0)
    assert (config.max_minutes, config.max_rated_steps, config.policy_steps, config.niceness) == (3, 7, 7, 0)
    assert run_config("starter", objective="kto", steps=7).policy_steps == 0
