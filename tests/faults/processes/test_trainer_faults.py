"""A trainer that runs out of memory, or whose bot is killed: the run has a clear end, and the champion serves on."""

import asyncio
import math
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest
from safetensors.torch import load_file, save_file

from bot.common.keys import open_keys
from bot.common.settings import DataSettings, OfflineSettings
from bot.learning.nightly import Nightly
from bot.reporting.run_messages import verdict_sentence
from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from engine.runs.run_dir import Reason, RunReport, write_report
from engine.runs.versions import verify
from storage.db.database import Database
from tests.bot.learning.test_nightly import Night, rate
from tests.support.learning.learning_fixtures import save_greedy_model, save_tiny_model
from tests.support.scene import ADMIN_ID, BotProcess, Scene, has_verdict
from tests.support.stored.keys import keyring_in


def engine(_: httpx.Request) -> httpx.Response:
    """Stands in at the engine's HTTP border: one base, and every version is taken."""
    return httpx.Response(200, json={"data": [{"id": "starter"}]})


@pytest.fixture
async def nights(tmp_path: Path) -> AsyncIterator[Callable[..., Night]]:
    """Makes nights over one database, as one bot after another does, by a policy that may be changed."""
    db = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    started: list[Nightly] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=db, engine=client, folder=tmp_path / "versions", canary_share=0)
        await router.load_versions()
        settings = OfflineSettings(data_dir=tmp_path, model=str(tmp_path / "model"), min_ratings=2, tenure_days=0)

        def night(**changes: int) -> Night:
            changed = settings.model_copy(update=changes)
            started.append(Nightly(db=db, router=router, settings=changed))
            return Night(db, started[-1])

        yield night
        for nightly in started:
            await nightly.close()
    await db.close()


@pytest.mark.parametrize(
    ("limits", "train_memory_mb"),
    [
        pytest.param("ulimit -v 1024000", 0, id="of the machine", marks=pytest.mark.slow),
        pytest.param("", 512, id="by TRAIN_MEMORY_MB"),
    ],
)
async def test_a_trainer_that_runs_out_of_memory_ends_the_run_as_failed_and_the_champion_serves_on(
    nights: Callable[..., Night], tmp_path: Path, trainer_does: Callable[[str], None], limits: str, train_memory_mb: int
) -> None:
    night = nights(train_memory_mb=train_memory_mb)
    await rate(night.db, 20)
    save_greedy_model(tmp_path / "model")
    trainer_does(f'{limits}\nexport OMP_NUM_THREADS=1\nexec {sys.executable} "$@"')
    run = await night.run()
    assert (run.verdict, run.reason, run.version) == ("failed", "memory", "starter")
    assert "not enough memory" in verdict_sentence(run, "en")
    assert not list((tmp_path / "runs").rglob("dataset.jsonl"))


async def test_a_memory_limit_with_room_enough_lets_the_run_come_to_its_verdict(
    nights: Callable[..., Night], tmp_path: Path
) -> None:
    night = nights(train_memory_mb=1024)
    await rate(night.db, 20)
    save_tiny_model(tmp_path / "model")
    run = await night.run()
    assert run.verdict in {"rejected", "skipped", "promoted"}, run.reason


async def test_a_base_that_computes_no_numbers_ends_the_run_with_a_reason_and_the_champion_serves_on(
    nights: Callable[..., Night], tmp_path: Path
) -> None:
    night = nights()
    await rate(night.db, 20)
    weights = save_tiny_model(tmp_path / "model") / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.embed_tokens.weight"].fill_(math.nan)
    save_file(tensors, weights, metadata={"format": "pt"})
    run = await night.run()
    assert (run.verdict, run.reason, run.version) == ("failed", "trainer", "starter"), verdict_sentence(run, "en")


async def test_a_trainer_that_stands_still_ends_the_run_as_failed_and_the_next_may_begin(
    nights: Callable[..., Night], trainer_does: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.learning.trainer_process.STALL_SECONDS", 0.5)
    night = nights()
    await rate(night.db, 20)
    trainer_does("kill -STOP $$")
    run = await night.run()
    assert (run.verdict, run.reason, run.version) == ("failed", "stalled", "starter")
    assert "no progress" in verdict_sentence(run, "en") and "没有进展" in verdict_sentence(run, "zh")
    assert await night.nightly.begin() is not None


@pytest.mark.parametrize(
    ("point", "trainings"),
    [("bot.learning.nightly.versions.add", 2), ("bot.serving.version_router.VersionRouter.promote", 1)],
)
async def test_a_run_cut_off_while_its_version_takes_over_is_seen_through_by_the_next_start(
    nights: Callable[..., Night], tmp_path: Path, trainer_does: Callable[[str], None], point: str, trainings: int
) -> None:
    night = nights()
    await rate(night.db, 20)
    write_report(tmp_path, RunReport(passed=True, reason=Reason("better", {"gain": 0.1})))
    trainer_does(
        f"echo once >> {tmp_path}/trainings\n"
        "mkdir $3/adapter\n"
        "head -c 100 /dev/urandom > $3/adapter/adapter_model.safetensors\n"
        f"cp {tmp_path}/report.json $3"
    )
    reached = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point, hang)
        assert await night.nightly.begin() is not None
        await reached.wait()
        await night.nightly.close()
    again = nights()
    await again.nightly.resume()
    run = await asyncio.wait_for(again.ended.get(), 60)
    assert (run.verdict, run.reason, run.version, run.attempts) == ("promoted", "better", "v1", 2)
    assert len((tmp_path / "trainings").read_text().splitlines()) == trainings
    verify(tmp_path / "versions" / "v1")
    assert [folder.name for folder in (tmp_path / "versions").iterdir()] == ["v1"]


def trainers(folder: Path) -> list[int]:
    """The trainers that work in a bot's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        is_ours = "engine.train" in command and any(word.startswith(str(folder)) for word in command)
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


async def test_a_killed_bot_takes_its_trainer_with_it_and_the_next_ends_the_run(bot: BotProcess, scene: Scene) -> None:
    await bot.start(MIN_RATINGS="2")
    keys = open_keys(DataSettings(data_dir=bot.folder / "data"))
    db = await Database.open(bot.folder / "data" / "ovation.db", keys.keyring)
    await rate(db, 20)
    await db.close()
    admin, chat = scene.person("Root", person_id=ADMIN_ID)
    world = scene.sandbox.world
    asked = world.say(admin, chat, "/retrain")
    await world.until(lambda: trainers(bot.folder), 30)
    (first,) = trainers(bot.folder)
    await bot.stop(signal.SIGKILL)
    await world.until(lambda: not trainers(bot.folder), 30)
    await bot.start()
    await world.until(lambda: trainers(bot.folder), 30)
    (second,) = trainers(bot.folder)
    assert first != second
    await scene.answer(asked, has_verdict, seconds=120)
    (run,) = await bot.export("runs")
    assert run["verdict"] in {"rejected", "skipped", "promoted"}
