"""Trials: looks at the live ratings of a new version again and again, and lets them decide whether it serves.

A canary answers beside the champion until people's ratings roll it back, promote it, or its time is over. A version
that became champion at once is watched: the ratings of the champion before it are the reference, and those that come in
roll it back. All of it is worked out anew from the database at each look, so neither restarts nor /forget nor a changed
mind need care. Knows ratings and versions. Knows no Telegram and no test statistic (`engine.runs.ab_test`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.common.timing import USUAL, Timing
from bot.learning.dataset import tenure
from bot.serving.version_router import VersionRouter
from engine.data.rewards import Vote, rating_weights
from engine.errors import EngineError
from engine.runs.ab_test import Arm, Decision, Evidence, Opinion, arm_of, compare, decide, ratings_to_go
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import LiveRating, Trial, TrialEnd, TrialOutcome, Verdict
from storage.tables import versions

logger = logging.getLogger(__name__)

_LOOK_SHARE = 0.02
"""Of the time at most is spent on looking, however many ratings there are."""

DRIFT = 0.05
"""How much the liking of the same texts may change from one fortnight to the next; a version is not blamed for that."""
_REFERENCE_RATINGS = 1000
"""The newest that a champion of before is judged by; further ones would be older than they are worth."""
_ALL = -1
_VERDICTS: dict[TrialOutcome, tuple[Verdict, str]] = {
    "promoted": ("promoted", "live_better"),
    "rolled_back": ("rejected", "live_worse"),
    "inconclusive": ("rejected", "live_unclear"),
}
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The operator's choices for trials."""

    share: float
    """Of the texts, written by the canary."""
    ratings: int
    hours: float
    """The least exposure before a promotion."""
    days: float
    """The longest trial."""
    tenure_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a trial stands."""

    trial: Trial
    version: Arm
    reference: Arm
    evidence: Evidence
    to_go: int
    """Ratings of the version until it is decided, roughly."""


class Trials:
    """Looks after the trial that is under way, if there is one."""

    def __init__(self, *, db: Database, router: VersionRouter, terms: Terms, timing: Timing = USUAL) -> None:
        self._db = db
        self._look_seconds = timing.trial_look
        self._router = router
        self._terms = terms
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._on_end: Callable[[Trial], Awaitable[None]] | None = None

    def when_ended(self, tell: Callable[[Trial], Awaitable[None]]) -> None:
        """Have `tell` awaited with every trial that the ratings end, also with one that nobody was told of before."""
        self._on_end = tell

    def start(self) -> None:
        """Look now, and then every few seconds."""
        self._task = asyncio.create_task(self._keep_looking(), name="trials")
        self._task.add_done_callback(_report)

    async def close(self) -> None:
        """Stop looking; a trial goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def standing(self) -> Standing | None:
        """How the present trial stands; None when there is none."""
        trial = await versions.present_trial(self._db, self._router.base)
        if trial is None:
            return None
        version = await versions.trial_ratings(
            self._db, trial.version, since=trial.began_at, before=_FOR_EVER, most=_ALL
        )
        return await asyncio.to_thread(self._stand, trial, version, await self._reference(trial))

    async def look(self) -> None:
        """Decide the present trial, if it can be, and tell of those that have ended."""
        await self._settle(is_over=False)
        for trial in await versions.untold_trials(self._db):
            if self._on_end is not None:
                await self._on_end(trial)
            await versions.mark_trial_told(self._db, trial.id)

    async def conclude(self) -> None:
        """A newer version comes: the canary is promoted if the ratings so far are for it, and gives way if not.

        The next look tells of it.
        """
        await self._settle(is_over=True)

    async def _settle(self, *, is_over: bool) -> None:
        async with self._looking:
            standing = await self.standing()
            if standing is None:
                return
            decision = self._decide(standing, is_over=is_over)
            if decision != "go_on" and await self._router.end_trial(_ending(standing, decision)) is not None:
                logger.info("trial of %s: %s", standing.trial.version, decision)

    def _decide(self, standing: Standing, *, is_over: bool) -> Decision:
        trial, terms = standing.trial, self._terms
        age = datetime.now(UTC) - trial.began_at
        is_canary = trial.way == "canary"
        is_exposed = standing.version.ratings >= terms.ratings and age >= timedelta(hours=terms.hours)
        return decide(
            standing.version,
            standing.reference,
            margin=self._margin(trial),
            may_promote=is_canary and is_exposed,
            is_over=age >= timedelta(days=terms.days) or (is_canary and is_over),
        )

    def _stand(self, trial: Trial, version: Sequence[LiveRating], reference: Sequence[LiveRating]) -> Standing:
        arm, beside = self._arms(version, reference)
        margin, is_before = self._margin(trial), self._is_before(trial)
        to_go = ratings_to_go(arm, beside, margin=margin, least=self._terms.ratings, is_reference_fixed=is_before)
        evidence = compare(arm, beside, margin=margin)
        return Standing(trial=trial, version=arm, reference=beside, evidence=evidence, to_go=to_go)

    def _arms(self, version: Sequence[LiveRating], reference: Sequence[LiveRating]) -> tuple[Arm, Arm]:
        """Both arms, weighed as for learning: newcomers count little, and nobody holds more than a share of it all."""
        now, both = datetime.now(UTC), [*version, *reference]
        weights = rating_weights([
            Vote(
                generation=str(rating.generation),
                rater=rating.rater,
                chat=rating.chat,
                value=rating.value,
                tenure=tenure(now - rating.rater_first_seen_at, tenure_days=self._terms.tenure_days),
                is_own=rating.is_own,
            )
            for rating in both
        ])  # fmt: skip
        opinions = [
            Opinion(rating.generation, rating.value > 0, weight)
            for rating, weight in zip(both, weights, strict=True)
        ]  # fmt: skip
        return arm_of(opinions[: len(version)]), arm_of(opinions[len(version) :])

    async def _reference(self, trial: Trial) -> list[LiveRating]:
        if not self._is_before(trial):
            return await versions.trial_ratings(
                self._db, trial.reference, since=trial.began_at, before=_FOR_EVER, most=_ALL
            )
        since = trial.began_at - timedelta(days=self._terms.days)
        return await versions.trial_ratings(
            self._db, trial.reference, since=since, before=trial.began_at, most=_REFERENCE_RATINGS
        )

    def _is_before(self, trial: Trial) -> bool:
        """The reference answers no more, so that only what it wrote before can be compared with."""
        return trial.way == "watch" or self._terms.share == 1

    def _margin(self, trial: Trial) -> float:
        return DRIFT if self._is_before(trial) else 0.0

    async def _keep_looking(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self.look()
            except (StorageError, EngineError) as error:
                logger.warning("the trial cannot be looked at yet: %s", error)
            await asyncio.sleep(max(self._look_seconds, (time.monotonic() - began) / _LOOK_SHARE))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("trials are not looked at any more until the next start", exc_info=error)


def _ending(standing: Standing, decision: Decision) -> TrialEnd:
    trial, evidence = standing.trial, standing.evidence
    outcome: TrialOutcome
    if decision == "roll_back":
        outcome = "rolled_back"
    elif trial.way == "watch":
        outcome = "kept"
    else:
        outcome = "promoted" if decision == "promote" else "inconclusive"
    verdict, reason = _VERDICTS.get(outcome, (None, None))
    return TrialEnd(
        trial=trial.id,
        outcome=outcome,
        verdict=verdict,
        reason=reason,
        serves=trial.version if outcome in ("promoted", "kept") else trial.reference,
        numbers={
            "live_likes": standing.version.likes,
            "live_ratings": standing.version.ratings,
            "live_reference_likes": standing.reference.likes,
            "live_reference_ratings": standing.reference.ratings,
            "live_better": round(evidence.better, 4),
            "live_gap": round(evidence.gap, 4),
        },
    )
