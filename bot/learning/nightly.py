"""The nightly work: consented ratings -> run folder -> trainer -> report -> published version -> swap -> verdict.

Every run ends with a verdict and a reason in the database, whatever happens; one runs at a time; a slot of the
schedule has one run; a run that a crash or restart cut off is tried once more from its beginning, with the consents
of that moment, or from where its version was recorded. Knows the order of these steps and who decides. Knows no
Telegram and no torch.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bot.common.errors import Refusal
from bot.learning.dataset import dataset_of
from bot.learning.trainer import NO_SCREEN, USUAL_BUDGET, Budget, Objective, Screen, Stalled, run_config, train
from bot.messaging.keyboards import CONSENT_TEXT_VERSION
from bot.serving.version_router import VersionRouter
from engine.data.dataset import dump_dataset
from engine.errors import EngineError, RunError
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER, SKIPPED, Progress, RunReport, read_report, strip_run
from engine.runs.versions import make_card, publish, remove, sweep, write_card
from storage.db.database import Database
from storage.db.errors import DatabaseUnusable, StorageError
from storage.db.records import Run, Verdict, Version
from storage.tables import runs, versions

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
_RETRY_SECONDS = 3.0

_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "memory"),
    (Stalled, "stalled"),
    (RunError, "trainer"),
    (EngineError, "engine"),
    (Refusal, "forgotten"),
    (StorageError, "disk"),
    (OSError, "disk"),
)


def run_folder(data_dir: Path, run: int) -> Path:
    """Where a run has its files."""
    return data_dir / "runs" / f"{run:05}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's choices for learning."""

    model: str
    min_ratings: int
    promotion: Literal["auto", "approve"]
    canary_share: float
    tenure_days: float
    objective: Objective = "taste"
    budget: Budget = USUAL_BUDGET
    screen: Screen = NO_SCREEN
    longest_text: int | None = None
    """In tokens, as people may ask for; None: as the shipped kinds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `reason` is a code for which the texts have a sentence, with `numbers` in it."""

    verdict: Verdict
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


class Nightly:
    """Starts runs and sees them to their end."""

    def __init__(self, *, db: Database, router: VersionRouter, data_dir: Path, policy: Policy) -> None:
        self._db = db
        self._router = router
        self._data_dir = data_dir
        self._versions_dir = data_dir / "versions"
        self._policy = policy
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._may_cancel = False
        self._on_end: Callable[[Run], Awaitable[None]] | None = None
        self._before_trial: Callable[[], Awaitable[None]] | None = None
        self.progress: Progress | None = None
        """How far the present run has come; None between runs."""

    def when_ended(self, tell: Callable[[Run], Awaitable[None]]) -> None:
        """Have `tell` awaited with every run that ends."""
        self._on_end = tell

    def before_trial(self, conclude: Callable[[], Awaitable[None]]) -> None:
        """Have `conclude` awaited before a new version takes the place of a canary."""
        self._before_trial = conclude

    async def begin(self, *, slot: str | None = None) -> Run | None:
        """Start a run in the background; None when one is running or the slot has had its run."""
        run = await runs.start(self._db, slot=slot, at=datetime.now(UTC))
        if run is not None:
            self._conduct_soon(run)
        return run

    async def resume(self) -> None:
        """Try the run again that the last process left unfinished."""
        await asyncio.to_thread(sweep, self._versions_dir)
        run = await runs.resume(self._db)
        if run is not None:
            logger.info("run %d was cut off; attempt %d", run.id, run.attempts)
            self._conduct_soon(run)

    async def running(self) -> Run | None:
        """The present run."""
        run = await runs.latest(self._db)
        return run if run is not None and run.verdict is None else None

    def cancel(self) -> bool:
        """End the present run with the verdict `skipped`; False when none is running, or its verdict is certain."""
        if self._task is None or self._task.done() or not self._may_cancel:
            return False
        self._cancelled = True
        self._task.cancel()
        return True

    async def start_over(self, learned: Collection[int]) -> None:
        """Begin the present run anew, with the consents of now, if it is among those that learned from erased texts."""
        run = await self.running()
        if run is not None and run.id in learned and self._may_cancel:
            logger.info("run %d starts over without what was erased", run.id)
            await self.close()
            self._conduct_soon(run)

    async def strip(self, learned: Collection[int]) -> None:
        """Take people and their words out of the folders of these runs; one that may start over begins a new folder."""
        present = await self.running()
        for number in learned:
            is_present = present is not None and number == present.id
            if not (is_present and self._may_cancel):
                await asyncio.to_thread(strip_run, self._folder_of(number), keep_adapter=is_present)

    async def close(self) -> None:
        """Stop at once; a run under way stays open and is resumed at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _conduct_soon(self, run: Run) -> None:
        self._cancelled, self._may_cancel = False, True
        self._task = asyncio.create_task(self._conduct(run), name=f"run {run.id}")

    async def _conduct(self, run: Run) -> None:
        try:
            outcome = await self._outcome(run)
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
            outcome = Outcome("skipped", "cancelled")
        finally:
            self.progress, self._may_cancel = None, False
        serving = self._version_of(run) if outcome.verdict == "canary" else self._router.champion
        await self._end(run, outcome, serving)
        logger.info("run %d: %s (%s)", run.id, outcome.verdict, outcome.reason)
        ended = await runs.latest(self._db)
        if self._on_end is not None and ended is not None:
            await self._on_end(ended)

    async def _end(self, run: Run, outcome: Outcome, serving: str) -> None:
        """Write the verdict down, as soon as the disk takes it: until then no other run may start."""
        while True:
            try:
                return await runs.end(
                    self._db, run.id, verdict=outcome.verdict, reason=outcome.reason, numbers=outcome.numbers,
                    version=serving, at=datetime.now(UTC),
                )  # fmt: skip
            except DatabaseUnusable as error:
                logger.error("the verdict on run %d cannot be written yet: %s", run.id, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _outcome(self, run: Run) -> Outcome:
        if run.attempts > MAX_ATTEMPTS:
            return Outcome("failed", "interrupted")
        try:
            if await versions.by_name(self._db, self._version_of(run)) is None:
                return await self._learn(run)
            self._may_cancel = False
            return await self._serve(run, read_report(self._folder_of(run.id)), run.ratings)
        except Exception as error:
            logger.exception("run %d failed", run.id)
            return Outcome("failed", next((code for kind, code in _FAILURES if isinstance(error, kind)), "unexpected"))

    async def _learn(self, run: Run) -> Outcome:
        await self._router.retire_tainted()
        texts = await runs.learn(self._db, run.id, fewest=self._policy.min_ratings)
        have = sum(len(text.ratings) for text in texts)
        if have < self._policy.min_ratings:
            return Outcome("skipped", "too_few_ratings", {"have": have, "need": self._policy.min_ratings})
        folder = self._folder_of(run.id)
        await asyncio.to_thread(self._prepare, folder, run)
        rows = dataset_of(texts, now=datetime.now(UTC), tenure_days=self._policy.tenure_days)
        report = await train(folder, dump_dataset(rows), on_progress=self._note)
        if not report.passed:
            verdict: Verdict = "skipped" if report.reason.code in SKIPPED else "rejected"
            return Outcome(verdict, report.reason.code, {**report.reason.numbers, "ratings": float(have)})
        self._may_cancel = False
        if not await self._publish(run, folder / ADAPTER_FOLDER, report):
            self._may_cancel = True
            return await self._learn(run)  # somebody was forgotten at the last moment
        return await self._serve(run, report, have)

    def _prepare(self, folder: Path, run: Run) -> None:
        """Write a fresh run folder; a version that an attempt before published, but did not record, is made anew."""
        remove(self._versions_dir / self._version_of(run))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        config = run_config(
            self._policy.model,
            champion=self._router.folder_of(self._router.champion),
            seed=run.id,
            objective=self._policy.objective,
            budget=self._policy.budget,
            screen=self._policy.screen,
        )
        longest = self._policy.longest_text or config.max_new_tokens
        write_config(folder, replace(config, max_new_tokens=longest))

    async def _publish(self, run: Run, adapter: Path, report: RunReport) -> bool:
        """Publish and record what the gate has passed; False, and nothing left, where the run is tainted meanwhile."""
        name, base = self._version_of(run), self._router.base
        card = make_card(
            report, model=self._policy.model, run=run.id, made_at=datetime.now(UTC).isoformat(),
            objective=self._policy.objective, consent_text=CONSENT_TEXT_VERSION,
        )  # fmt: skip
        write_card(adapter, card)
        await asyncio.to_thread(publish, adapter, self._versions_dir, name)
        version = Version(name=name, base=base, run=run.id, state="candidate", created_at=datetime.now(UTC))
        is_clean = await versions.add(self._db, version)
        if not is_clean:
            await asyncio.to_thread(remove, self._versions_dir / name)
        return is_clean

    async def _serve(self, run: Run, report: RunReport, ratings_used: int) -> Outcome:
        """Let a recorded version serve as far as the operator's policy goes."""
        numbers = {**report.reason.numbers, "ratings": float(ratings_used)}
        if self._policy.promotion == "approve":
            return Outcome("canary", "approval", numbers)
        version = self._version_of(run)
        if self._policy.canary_share == 0:
            if version != self._router.champion:  # else an attempt before has got so far
                await self._router.promote(version)
            return Outcome("promoted", report.reason.code, numbers)
        if version != self._router.canary:
            if self._before_trial is not None:
                await self._before_trial()
            await self._router.start_canary(version)
        return Outcome("canary", report.reason.code, {**numbers, "share": self._policy.canary_share})

    def _folder_of(self, run: int) -> Path:
        return run_folder(self._data_dir, run)

    def _note(self, progress: Progress) -> None:
        self.progress = progress

    @staticmethod
    def _version_of(run: Run) -> str:
        return f"v{run.id}"
