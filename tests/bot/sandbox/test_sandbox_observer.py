"""What the side panel is told: numbers from the database, how far the run is, and sentences in each language."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.learning.nightly import run_folder
from bot.reporting.charts import Satisfaction
from bot.sandbox.observer import Observer
from bot.sandbox.server import Sandbox
from engine.runs.run_dir import METRICS_FILE, Progress, append_progress
from storage.db.database import Database
from storage.db.records import RatingEvent
from storage.tables import ratings, runs
from tests.storage.conftest import NOON, delivered


async def rate(db: Database, generation: int, rater: str, value: float, emoji: str, *, second: int) -> None:
    event = RatingEvent(
        update_id=1000 + second, generation=generation, rater=rater, source="reaction", value=value, emoji=emoji,
        at=NOON + timedelta(seconds=second),
    )  # fmt: skip
    await ratings.record(db, event)


async def test_the_panel_counts_ratings_and_shows_the_newest_first(db: Database, tmp_path: Path) -> None:
    first, second = [await delivered(db, number) for number in (1, 2)]
    await rate(db, second.id, "bob", 1.0, "🔥", second=1)
    await rate(db, first.id, "bob", -1.0, "👎", second=2)
    await rate(db, first.id, "eve", 0.6, "👍", second=3)
    observer = Observer(Sandbox(), tmp_path)
    observer.evenings.append(Satisfaction("Evening 1", "starter", likes=2, dislikes=1))
    panel = observer.look()
    assert (panel["ratings"], panel["texts"]) == (3, 2)
    assert panel["versions"] == [{"name": "starter", "share": 2 / 3, "ratings": 3}]
    assert panel["evenings"] == [{"share": 2 / 3, "version": "starter"}]
    assert [(each["emoji"], each["text"]) for each in panel["newest"]] == [
        ("👍", first.id), ("👎", first.id), ("🔥", second.id),
    ]  # fmt: skip
    assert panel["newest"][0] == {"emoji": "👍", "kind": "slogan", "text": first.id, "version": "starter"}
    assert (panel["run"], panel["verdict"]) == (None, None)


async def test_the_panel_follows_a_run_to_its_verdict(db: Database, tmp_path: Path) -> None:
    observer = Observer(Sandbox(), tmp_path)
    run = await runs.start(db, slot=None, at=datetime.now(UTC) - timedelta(seconds=60))
    assert run is not None
    assert observer.look()["run"] == {
        "stage": {"en": "starting", "zh": "正在启动"}, "share": 0.0, "seconds_left": None,
    }  # fmt: skip
    folder = run_folder(tmp_path, run.id)
    folder.mkdir(parents=True)
    still = observer.activity()
    append_progress(folder / METRICS_FILE, Progress("training", done=1, total=3))
    assert observer.activity() != still == ()
    seen = observer.look()["run"]
    assert seen["stage"] == {"en": "learning", "zh": "正在学习"}
    assert seen["share"] == observer.share == pytest.approx(0.03 + 0.12 + 0.73 / 3)
    assert seen["seconds_left"] >= 60  # less than half is done after a minute or more
    await runs.end(
        db, run.id, verdict="rejected", reason="not_better", numbers={"probability": 0.4}, version="starter", at=NOON
    )
    after = observer.look()
    assert after["run"] is None
    assert after["verdict"]["en"].startswith("↩️ Run 1: rejected. starter keeps serving.")
    assert after["verdict"]["zh"].startswith("↩️ 第 1 次训练：已拒绝。")
