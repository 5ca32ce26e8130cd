"""Live ratings promote a canary or roll it back, watch a champion that was promoted at once, and tell it once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

import httpx
import pytest

from bot.common.settings import OfflineSettings, Settings
from bot.learning.canary import CanaryMonitor
from bot.operations.model_versions import ModelVersions
from bot.reporting.run_messages import canary_sentence, ending_sentence, verdict_sentence
from bot.serving.version_router import VersionRouter
from engine.api.client import EngineClient
from engine.errors import EngineUnavailable
from storage.db.database import Database
from storage.db.records import RatingEvent, Trial, TrialResult, Version
from storage.tables import generations, moderation, people, ratings, runs, versions
from tests.storage.conftest import new_generation
from tests.support.stored.two_versions import open_with_two_versions

NOW = datetime.now(UTC)
SETTINGS: Settings = OfflineSettings(canary_share=0.5, canary_ratings=30, canary_hours=0, canary_days=14, tenure_days=0)


@dataclass
class Stage:
    """v1 is the champion, v2 waits; people rate texts of either."""

    db: Database
    router: VersionRouter
    settings: Settings = SETTINGS
    ended: list[Trial] = field(default_factory=list)
    number: int = 0

    @property
    def canary(self) -> CanaryMonitor:
        """As after a restart: it remembers nothing."""
        fresh = CanaryMonitor(db=self.db, router=self.router, settings=self.settings)
        fresh.on_end = self._note
        return fresh

    async def _note(self, trial: Trial) -> None:
        self.ended.append(trial)

    async def rate(
        self, version: str, likes: int, dislikes: int, *, rater: str = "", at: datetime | None = None
    ) -> None:
        """So many texts of a version, rated by ada and bob in turn, or by one person."""
        for count in range(likes + dislikes):
            self.number += 1
            new = replace(new_generation(self.number), created_at=at or datetime.now(UTC))
            generation = await generations.accept(self.db, new)
            assert generation is not None
            await ratings.record_placeholder(self.db, generation.id, message_id=1000 + self.number)
            await generations.write_text(self.db, generation.id, text="Tea.", version=version)
            event = RatingEvent(
                update_id=100_000 + self.number, generation=generation.id, rater=rater or ("ada", "bob")[count % 2],
                source="reaction", value=1.0 if count < likes else -1.0, emoji="x", at=at or datetime.now(UTC),
            )  # fmt: skip
            await ratings.record(self.db, event)

    @property
    def serving(self) -> tuple[str, str | None]:
        return self.router.champion, self.router.canary


def engine(request: httpx.Request) -> httpx.Response:
    """Stands in at the engine's HTTP border: one base, and every version is taken."""
    return httpx.Response(200, json={"data": [{"id": "starter"}]})


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    db = await open_with_two_versions(tmp_path, adapter, base="starter", at=NOW - timedelta(days=9))
    for person in ("ada", "bob"):
        await people.grant(db, person, "tea", text_version=1, at=NOW)
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
        client = EngineClient("http://engine", http=http)
        router = VersionRouter(db=db, engine=client, folder=tmp_path / "versions", canary_share=0.5)
        await router.load_versions()
        yield Stage(db, router)
    await db.close()


async def test_a_canary_that_people_dislike_is_rolled_back_by_itself(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    await stage.rate("v1", 20, 10)
    await stage.rate("v2", 4, 8)
    await stage.canary.look()
    assert stage.serving == ("v1", "v2") and not stage.ended, "too early to tell"
    await stage.rate("v2", 4, 28)
    await stage.canary.look()
    assert stage.serving == ("v1", None)
    (trial,) = stage.ended
    assert (trial.version, trial.outcome, trial.champion) == ("v2", "rolled_back", "v1")
    assert "8 of 44 ratings (18 %)" in ending_sentence(trial, "en") and "回退" in ending_sentence(trial, "zh")
    entry = (await moderation.latest_audit_entries(stage.db, limit=1))[0]
    assert (entry.actor, entry.action, entry.detail) == ("ratings", "rolled_back", "v2")


async def test_a_canary_that_began_by_a_clock_that_was_ahead_is_decided_by_the_ratings_since(stage: Stage) -> None:
    await stage.router.start_canary("v2")

    def ahead(connection: Connection) -> None:
        connection.execute("UPDATE trials SET began_at = ?", (datetime.now(UTC) + timedelta(hours=6),))

    await stage.db.write(ahead)
    await stage.canary.look()
    await stage.rate("v1", 20, 10)
    await stage.rate("v2", 8, 36)
    await stage.canary.look()
    assert [trial.outcome for trial in stage.ended] == ["rolled_back"]


async def test_a_canary_that_people_like_is_promoted_after_its_exposure(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    await stage.rate("v1", 20, 30)
    await stage.rate("v2", 26, 2)
    await stage.canary.look()
    assert stage.serving == ("v1", "v2")
    await stage.rate("v2", 4, 0)
    stage.settings = SETTINGS.model_copy(update={"canary_hours": 1})
    await stage.canary.look()
    assert stage.serving == ("v1", "v2"), "the hours of its exposure are missing"
    stage.settings = SETTINGS
    await stage.canary.look()
    assert stage.serving == ("v2", None)
    assert [(trial.outcome, trial.champion) for trial in stage.ended] == [("promoted", "v2")]
    assert await stage.canary.status() is None, "what live ratings have promoted is not watched as well"


async def test_the_end_is_told_once_also_when_the_bot_dies_before_it_is_told(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    await stage.rate("v1", 30, 0)
    await stage.rate("v2", 0, 30)
    silent = CanaryMonitor(db=stage.db, router=stage.router, settings=SETTINGS)

    async def die(trial: Trial) -> None:
        raise EngineUnavailable(f"the process ends before {trial.version} is told of")

    silent.on_end = die
    with pytest.raises(EngineUnavailable):
        await silent.look()
    for _ in range(2):
        await stage.canary.look()
    assert [trial.version for trial in stage.ended] == ["v2"]


async def test_only_ratings_with_consent_of_this_trial_count(stage: Stage) -> None:
    await stage.rate("v2", 0, 40, at=NOW - timedelta(hours=1))
    await stage.router.start_canary("v2")
    await stage.rate("v1", 40, 0)
    await stage.rate("v2", 0, 40, rater="eve")
    status = await stage.canary.status()
    assert status is not None and (status.reference.ratings, status.version.ratings) == (40, 0)
    await people.grant(stage.db, "eve", "tea", text_version=1, at=NOW)
    await stage.canary.look()
    assert stage.serving == ("v1", None)


async def test_a_brigade_of_newcomers_alone_does_not_roll_back(stage: Stage) -> None:
    stage.settings = SETTINGS.model_copy(update={"tenure_days": 7})
    for person in ("ada", "bob"):
        await stage.db.write(
            lambda c, person=person: c.execute(
                "INSERT INTO people VALUES (?, ?) ON CONFLICT DO UPDATE SET first_seen_at = excluded.first_seen_at",
                (person, (NOW - timedelta(days=30)).isoformat()),
            )
        )
    await stage.router.start_canary("v2")
    await stage.rate("v1", 40, 20)
    await stage.rate("v2", 40, 20)
    for sybil in range(5):
        await people.grant(stage.db, f"sybil {sybil}", "tea", text_version=1, at=NOW)
        await stage.rate("v2", 0, 12, rater=f"sybil {sybil}")
    await stage.canary.look()
    assert stage.serving == ("v1", "v2")


async def test_a_champion_promoted_at_once_is_watched_and_gives_way_if_people_like_it_less(stage: Stage) -> None:
    await stage.rate("v1", 70, 30, at=datetime.now(UTC))
    await stage.router.promote("v2")
    status = await stage.canary.status()
    assert status is not None and status.reference.ratings == 100
    assert "v2 is being watched" in canary_sentence(status, "en")
    await stage.rate("v2", 30, 15)
    await stage.canary.look()
    assert stage.serving == ("v2", None)
    await stage.rate("v2", 10, 65)
    await stage.canary.look()
    assert stage.serving == ("v1", None)
    assert [(trial.mode, trial.outcome) for trial in stage.ended] == [("watch", "rolled_back")]
    before = await versions.previous_champion(stage.db, "starter")
    assert before is not None and before.name == "starter", "nobody goes back to what was rolled back"


async def test_a_watched_champion_stays_when_its_time_is_over(stage: Stage) -> None:
    await stage.router.promote("v2")
    stage.settings = SETTINGS.model_copy(update={"canary_days": 0})
    await stage.canary.look()
    assert stage.serving == ("v2", None)
    assert [trial.outcome for trial in stage.ended] == ["kept"]


@pytest.mark.parametrize(
    ("likes", "outcome", "serving"), [(15, "promoted", ("v2", None)), (9, "inconclusive", ("v1", None))]
)
async def test_a_newer_version_ends_the_trial_by_what_is_probable(
    stage: Stage, likes: int, outcome: str, serving: tuple[str, None]
) -> None:
    await stage.router.start_canary("v2")
    await stage.rate("v1", 40, 60)
    await stage.rate("v2", likes, 22 - likes)
    await stage.canary.look()
    assert stage.serving == ("v1", "v2")
    await stage.canary.conclude()
    assert stage.serving == serving
    await stage.canary.look()
    assert [trial.outcome for trial in stage.ended] == [outcome]


async def test_a_persons_decision_breaks_a_trial_off(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    assert await stage.router.roll_back() == "v1"
    assert await stage.canary.status() is None
    await stage.canary.look()
    assert not stage.ended


async def test_ratings_that_are_withdrawn_meanwhile_decide_nothing(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    await stage.rate("v1", 30, 0)
    await stage.rate("v2", 0, 30)
    for person in ("ada", "bob"):
        await people.revoke(stage.db, person, "tea", at=datetime.now(UTC))
    await stage.canary.look()
    assert stage.serving == ("v1", "v2")


async def test_a_reference_that_is_damaged_gives_way_to_the_base(stage: Stage, tmp_path: Path) -> None:
    await stage.rate("v1", 70, 30)
    await stage.router.promote("v2")
    await stage.rate("v2", 0, 60)
    (tmp_path / "versions" / "v1" / "adapter_model.safetensors").write_bytes(b"damaged")
    await stage.canary.look()
    assert stage.serving == ("starter", None)
    assert stage.ended[0].champion == "starter"


async def test_the_run_and_the_list_tell_what_became_of_the_canary(stage: Stage) -> None:
    run = await runs.start(stage.db, slot=None, at=NOW)
    assert run is not None
    version = Version(name="v3", base="starter", run=run.id, state="candidate", created_at=NOW)
    await versions.add(stage.db, version)
    await versions.make_canary(stage.db, "v3", at=NOW)
    await runs.end(
        stage.db, run.id, verdict="canary", reason="better", numbers={"gain": 0.1}, version="v3", at=NOW
    )  # fmt: skip
    await stage.rate("v1", 20, 10)
    await stage.rate("v3", 5, 5)
    models = ModelVersions(db=stage.db, router=stage.router, canary=stage.canary, settings=SETTINGS)
    assert "5 of 10 ratings (50 %), the earlier ones in 20 of 30 (67 %)" in await models.listing("en")
    assert "10 个评价" in await models.listing("zh")
    await stage.rate("v3", 0, 30)
    await stage.canary.look()
    ended = await runs.latest(stage.db)
    assert ended is not None
    assert (ended.verdict, ended.reason, ended.version) == ("rejected", "live_worse", "v1")
    assert "rejected. v1 keeps serving. Live ratings found it worse: people liked" in verdict_sentence(ended, "en")
    assert ended.numbers["gain"] == 0.1 and ended.numbers["live_ratings"] == 40


async def test_a_trial_that_somebody_has_ended_meanwhile_is_not_settled(stage: Stage) -> None:
    await stage.router.start_canary("v2")
    trial = await versions.open_trial(stage.db, "starter")
    assert trial is not None
    await stage.router.promote("v2")
    ending = TrialResult(trial=trial.id, outcome="rolled_back", champion="v1", numbers={})
    assert not await stage.router.end_trial(ending)
    assert stage.serving == ("v2", None)
