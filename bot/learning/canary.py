"""Canary analysis: the live ratings of a new version decide whether it serves.

A canary answers beside the champion until people's ratings roll it back, promote it, or its time is over. A version
that became champion at once is watched: the ratings of the champion before it are the reference, and those that come in
can roll it back. Every look starts from the database, so restarts, /forget and changed ratings need no care here. The
statistics are in `engine.runs.ab_test`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.common.settings import Settings
from bot.common.tasks import BackgroundTasks
from bot.common.timing import USUAL, Timing
from bot.learning.dataset import tenure
from bot.serving.version_router import VersionRouter
from engine.data.rewards import Vote, rating_weights
from engine.errors import EngineError
from engine.runs.ab_test import Arm, ArmComparison, Decision, LiveRating, arm_of, compare, decide, ratings_to_go
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import RunVerdict, Trial, TrialOutcome, TrialRating, TrialResult
from storage.tables import versions

logger = logging.getLogger(__name__)

DRIFT = 0.05
"""How much the liking of the same texts may change from one fortnight to the next; a version is not blamed for that."""

_LOOK_SHARE = 0.02
"""Looking takes at most this share of the time, however many ratings there are."""
_REFERENCE_RATINGS = 1000
"""A former champion is judged by its newest ratings; older ones would no longer be comparable."""
_ALL = -1
_FOREVER = datetime.max.replace(tzinfo=UTC)
_VERDICTS: dict[TrialOutcome, tuple[RunVerdict, str]] = {
    "promoted": ("promoted", "live_better"),
    "rolled_back": ("rejected", "live_worse"),
    "inconclusive": ("rejected", "live_unclear"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """How a trial stands."""

    trial: Trial
    version: Arm
    reference: Arm
    comparison: ArmComparison
    to_go: int
    """Ratings of the version until it is decided, roughly."""

    @property
    def numbers(self) -> dict[str, float]:
        """What is stored with the trial and its run, and shown to admins."""
        return {
            "live_likes": self.version.likes,
            "live_ratings": self.version.ratings,
            "live_reference_likes": self.reference.likes,
            "live_reference_ratings": self.reference.ratings,
            "live_better": round(self.comparison.better, 4),
            "live_gap": round(self.comparison.gap, 4),
        }


@dataclass(kw_only=True, eq=False)
class CanaryMonitor:
    """Looks after the open trial, if there is one."""

    db: Database
    router: VersionRouter
    settings: Settings
    timing: Timing = USUAL
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)
    on_end: Callable[[Trial], Awaitable[None]] | None = field(default=None, init=False)
    """Awaited with every trial that the ratings have ended, also with one that ended before a restart."""

    def start(self) -> None:
        """Look now, and then every few seconds."""
        self._tasks.start(self._keep_looking(), name="canary monitor")

    async def close(self) -> None:
        """Stop looking; a trial goes on at the next start."""
        await self._tasks.close()

    async def look(self) -> None:
        """Decide the open trial, if it can be, and tell of those that have ended."""
        await self._decide(is_over=False)
        for trial in await versions.unannounced_trials(self.db):
            if self.on_end is not None:
                await self.on_end(trial)
            await versions.mark_trial_announced(self.db, trial.id)

    async def conclude(self) -> None:
        """A newer version comes: end the canary's trial by the ratings so far. The next look tells of it."""
        await self._decide(is_over=True)

    async def status(self) -> CanaryStatus | None:
        """How the open trial stands; None when there is none."""
        trial = await versions.open_trial(self.db, self.router.base)
        if trial is None:
            return None
        began, is_before = trial.began_at, self._is_before(trial)
        version = await versions.trial_ratings(self.db, trial.version, since=began, before=_FOREVER, most=_ALL)
        reference = await versions.trial_ratings(
            self.db,
            trial.reference,
            since=began - timedelta(days=self.settings.canary_days) if is_before else began,
            before=began if is_before else _FOREVER,
            most=_REFERENCE_RATINGS if is_before else _ALL,
        )
        return await asyncio.to_thread(self._compare, trial, version, reference)

    def _compare(self, trial: Trial, version: Sequence[TrialRating], reference: Sequence[TrialRating]) -> CanaryStatus:
        """Weigh both arms as for learning: newcomers count little, and nobody holds more than a share of it all."""
        now, both = datetime.now(UTC), [*version, *reference]
        weights = rating_weights([
            Vote(
                generation=str(rating.generation),
                rater=rating.rater,
                chat=rating.chat,
                value=rating.value,
                tenure=tenure(now - rating.rater_first_seen_at, tenure_days=self.settings.tenure_days),
                is_own=rating.is_own,
            )
            for rating in both
        ])  # fmt: skip
        ratings = [LiveRating(it.generation, it.value > 0, weight) for it, weight in zip(both, weights, strict=True)]
        arm, other = arm_of(ratings[: len(version)]), arm_of(ratings[len(version) :])
        margin, least = self._margin(trial), self.settings.canary_ratings
        return CanaryStatus(
            trial=trial,
            version=arm,
            reference=other,
            comparison=compare(arm, other, margin=margin),
            to_go=ratings_to_go(arm, other, margin=margin, least=least, is_reference_fixed=self._is_before(trial)),
        )

    def _is_before(self, trial: Trial) -> bool:
        """Whether the reference no longer answers, so that the version is compared with what it wrote before."""
        return trial.mode == "watch" or self.settings.canary_share == 1

    def _margin(self, trial: Trial) -> float:
        return DRIFT if self._is_before(trial) else 0.0

    async def _decide(self, *, is_over: bool) -> None:
        async with self._looking:
            status = await self.status()
            if status is None:
                return
            trial, settings, now = status.trial, self.settings, datetime.now(UTC)
            if trial.began_at > now:
                await versions.redate_trials(self.db, now=now)
                return  # the next look counts from here
            age = now - trial.began_at
            is_canary = trial.mode == "canary"
            has_time = age >= timedelta(hours=settings.canary_hours)
            decision = decide(
                status.version,
                status.reference,
                margin=self._margin(trial),
                may_promote=is_canary and has_time and status.version.ratings >= settings.canary_ratings,
                is_over=age >= timedelta(days=settings.canary_days) or (is_canary and is_over),
            )
            if decision != "go_on" and await self.router.end_trial(_result(status, decision)):
                logger.info("trial of %s: %s", trial.version, decision)

    async def _keep_looking(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self.look()
            except (StorageError, EngineError) as error:
                logger.warning("the trial cannot be looked at yet: %s", error)
            await asyncio.sleep(max(self.timing.trial_look, (time.monotonic() - began) / _LOOK_SHARE))


def _result(status: CanaryStatus, decision: Decision) -> TrialResult:
    trial = status.trial
    outcome: TrialOutcome = "promoted" if decision == "promote" else "inconclusive"
    if trial.mode == "watch":
        outcome = "kept"
    if decision == "roll_back":
        outcome = "rolled_back"
    verdict, reason = _VERDICTS.get(outcome, (None, None))
    return TrialResult(
        trial=trial.id,
        outcome=outcome,
        verdict=verdict,
        reason=reason,
        champion=trial.version if outcome in ("promoted", "kept") else trial.reference,
        numbers=status.numbers,
    )
