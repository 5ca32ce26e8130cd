"""The nightly work: consented ratings -> run folder -> trainer -> report -> published version -> swap -> verdict.

Every run ends with a verdict and a reason in the database, whatever happens; one runs at a time; a slot of the
schedule has one run; a run that a crash or restart cut off is tried once more from its beginning, with the consents
of that moment. Knows the order of these steps and who decides. Knows no Telegram and no torch.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bot.kinds import MIN_P, TEMPERATURE, TOP_P, load_kinds
from bot.lessons import dataset_of
from bot.switchboard import Switchboard
from bot.trainer import train
from engine.dataset import write_dataset
from engine.errors import EngineError, RunError
from engine.run import ADAPTER_FOLDER, DATASET_FILE, SKIPPED, Progress, RunConfig, write_config
from engine.versions import publish
from storage import ratings, runs, versions
from storage.database import Database
from storage.errors import StorageError
from storage.records import RatedText, Run, Verdict, Version

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2

_FEWEST_EXAMPLES = 10
"""Rated texts; with fewer the trainer skips a run, however low MIN_RATINGS is."""


_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "memory"),
    (RunError, "trainer"),
    (EngineError, "engine"),
    (StorageError, "disk"),
    (OSError, "disk"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's choices for learning."""

    model: str
    min_ratings: int
    promotion: Literal["auto", "approve"]
    canary_share: float
    tenure_days: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `reason` is a code for which the texts have a sentence, with `numbers` in it."""

    verdict: Verdict
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


class Nightly:
    """Starts runs and sees them to their end."""

    def __init__(self, *, db: Database, switchboard: Switchboard, data_dir: Path, policy: Policy) -> None:
        self._db = db
        self._switchboard = switchboard
        self._data_dir = data_dir
        self._policy = policy
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._may_cancel = False
        self._on_end: Callable[[Run], Awaitable[None]] | None = None
        self.progress: Progress | None = None
        """How far the present run has come; None between runs."""

    def when_ended(self, tell: Callable[[Run], Awaitable[None]]) -> None:
        """Have `tell` awaited with every run that ends."""
        self._on_end = tell

    async def begin(self, *, slot: str | None = None) -> Run | None:
        """Start a run in the background; None when one is running or the slot has had its run."""
        run = await runs.start(self._db, slot=slot, at=datetime.now(UTC))
        if run is not None:
            self._conduct_soon(run)
        return run

    async def resume(self) -> None:
        """Try the run again that the last process left unfinished."""
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
        serving = self._version_of(run) if outcome.verdict == "canary" else self._switchboard.champion
        await runs.end(
            self._db, run.id, verdict=outcome.verdict, reason=outcome.reason, numbers=outcome.numbers,
            version=serving, at=datetime.now(UTC),
        )  # fmt: skip
        logger.info("run %d: %s (%s)", run.id, outcome.verdict, outcome.reason)
        ended = await runs.latest(self._db)
        if self._on_end is not None and ended is not None:
            await self._on_end(ended)

    async def _outcome(self, run: Run) -> Outcome:
        if run.attempts > MAX_ATTEMPTS:
            return Outcome("failed", "interrupted")
        try:
            return await self._learn(run)
        except Exception as error:
            logger.exception("run %d failed", run.id)
            return Outcome("failed", next((code for kind, code in _FAILURES if isinstance(error, kind)), "unexpected"))

    async def _learn(self, run: Run) -> Outcome:
        texts = await ratings.consented(self._db)
        have = sum(len(text.ratings) for text in texts)
        if have < self._policy.min_ratings:
            return Outcome("skipped", "too_few_ratings", {"have": have, "need": self._policy.min_ratings})
        await runs.record_lineage(self._db, run.id, texts)
        folder = self._data_dir / "runs" / f"{run.id:05}"
        await asyncio.to_thread(self._prepare, folder, run, texts)
        try:
            report = await train(folder, on_progress=self._note)
        finally:
            (folder / DATASET_FILE).unlink(missing_ok=True)
        numbers = {**report.reason.numbers, "ratings": float(have)}
        if not report.passed:
            verdict: Verdict = "skipped" if report.reason.code in SKIPPED else "rejected"
            return Outcome(verdict, report.reason.code, numbers)
        self._may_cancel = False
        verdict = await self._promote(run, folder / ADAPTER_FOLDER)
        reason = "approval" if self._policy.promotion == "approve" else report.reason.code
        return Outcome(verdict, reason, numbers)

    def _prepare(self, folder: Path, run: Run, texts: list[RatedText]) -> None:
        """Write a fresh run folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        champion = self._switchboard.folder_of(self._switchboard.champion)
        write_config(
            folder,
            RunConfig(
                base=self._policy.model,
                champion=None if champion is None else str(champion.absolute()),
                seed=run.id,
                threads=os.cpu_count() or 1,  # at a low priority, so that those who prompt meanwhile come first
                temperature=TEMPERATURE,
                top_p=TOP_P,
                min_p=MIN_P,
                max_new_tokens=load_kinds().longest,
                min_ratings=_FEWEST_EXAMPLES,
            ),
        )
        now = datetime.now(UTC)
        write_dataset(folder / DATASET_FILE, dataset_of(texts, now=now, tenure_days=self._policy.tenure_days))

    async def _promote(self, run: Run, adapter: Path) -> Verdict:
        """Publish what the gate has passed, and let it serve as far as the operator's policy goes."""
        name = self._version_of(run)
        await asyncio.to_thread(publish, adapter, self._data_dir / "versions", name)
        await versions.add(
            self._db,
            Version(
                name=name, base=self._switchboard.base, run=run.id, state="candidate", created_at=datetime.now(UTC)
            ),
        )
        if self._policy.promotion == "auto" and self._policy.canary_share == 0:
            await self._switchboard.crown(name)
            return "promoted"
        if self._policy.promotion == "auto":
            await self._switchboard.try_out(name)
        return "canary"

    def _note(self, progress: Progress) -> None:
        self.progress = progress

    @staticmethod
    def _version_of(run: Run) -> str:
        return f"v{run.id}"
