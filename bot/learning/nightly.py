"""The nightly run: consented ratings -> run folder -> trainer -> report -> published version -> swap -> verdict.

Every run ends with a verdict and a reason in the database, whatever happens. One runs at a time, and a slot of the
schedule has one run. A run that a crash or restart cut off is tried once more: from its beginning, with the consents of
that moment, or from where its version was recorded.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import Refusal
from bot.common.i18n import CONSENT_TEXT_VERSION
from bot.common.settings import Settings
from bot.common.tasks import cancel
from bot.learning.dataset import dataset_of
from bot.learning.trainer_process import Stalled, run_config, train
from bot.serving.version_router import VersionRouter
from engine.data.dataset import dump_dataset
from engine.errors import EngineError, RunError
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER, SKIPPED, Progress, RunReport, read_report, strip_run
from engine.runs.versions import make_card, publish, remove, sweep, write_card
from storage.db.database import Database
from storage.db.errors import DatabaseUnusable, StorageError
from storage.db.records import Run, RunVerdict, Version
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


def prune_runs(data_dir: Path, *, keep: int, needed: Collection[int]) -> int:
    """Delete the folders of old runs, but for the newest `keep` and those that are needed; returns how many went.

    Raises:
        OSError: one cannot be deleted; a later try goes on.
    """
    folders = {int(path.name): path for path in (data_dir / "runs").glob("[0-9]*") if _is_run(path)}
    old = [path for run, path in sorted(folders.items())[:-keep] if run not in needed]
    for path in old:
        shutil.rmtree(path)
    return len(old)


def _is_run(path: Path) -> bool:
    return path.name.isascii() and path.name.isdigit() and path.is_dir() and not path.is_symlink()


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended; `reason` is a code for which the locales have a sentence, with `numbers` in it."""

    verdict: RunVerdict
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Nightly:
    """Starts runs and sees them to their end. `conclude_canary` is awaited before a new version becomes the canary."""

    db: Database
    router: VersionRouter
    settings: Settings
    conclude_canary: Callable[[], Awaitable[None]] | None = None
    on_end: Callable[[Run], Awaitable[None]] | None = field(default=None, init=False)
    """Awaited with every run that ends."""
    progress: Progress | None = field(default=None, init=False)
    """How far the present run has come; None between runs."""
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _is_cancelled: bool = field(default=False, init=False)
    _may_cancel: bool = field(default=False, init=False)

    async def begin(self, *, slot: str | None = None) -> Run | None:
        """Start a run in the background; None when one is running or the slot has had its run."""
        run = await runs.start(self.db, slot=slot, at=datetime.now(UTC))
        if run is not None:
            self._launch(run)
        return run

    async def resume(self) -> None:
        """Try the run again that the last process left unfinished."""
        await asyncio.to_thread(sweep, self.settings.versions_path)
        run = await runs.resume(self.db)
        if run is not None:
            logger.info("run %d was cut off; attempt %d", run.id, run.attempts)
            self._launch(run)

    def cancel(self) -> bool:
        """End the present run with the verdict `skipped`; False when none is running, or its verdict is certain."""
        if self._task is None or self._task.done() or not self._may_cancel:
            return False
        self._is_cancelled = True
        self._task.cancel()
        return True

    async def start_over(self, learned: Collection[int]) -> None:
        """Restart the run under way, with the consents of now, if it is among those that learned from erased texts."""
        run = await runs.running(self.db)
        if run is not None and run.id in learned and self._may_cancel:
            logger.info("run %d starts over without what was erased", run.id)
            await self.close()
            self._launch(run)

    async def strip(self, learned: Collection[int]) -> None:
        """Take people and their words out of the folders of these runs; one that may start over begins a new folder."""
        present = await runs.running(self.db)
        for number in learned:
            is_present = present is not None and number == present.id
            if not (is_present and self._may_cancel):
                await asyncio.to_thread(strip_run, run_folder(self.settings.data_dir, number), keep_adapter=is_present)

    async def close(self) -> None:
        """Stop at once; a run under way stays open and is resumed at the next start."""
        await cancel(self._task)

    def _launch(self, run: Run) -> None:
        self._is_cancelled, self._may_cancel = False, True
        self._task = asyncio.create_task(self._conduct(run), name=f"run {run.id}")

    async def _conduct(self, run: Run) -> None:
        try:
            outcome = await self._outcome(run)
        except asyncio.CancelledError:
            if not self._is_cancelled:
                raise
            outcome = RunOutcome("skipped", "cancelled")
        finally:
            self.progress, self._may_cancel = None, False
        serving = _version_of(run) if outcome.verdict == "canary" else self.router.champion
        await self._end(run, outcome, serving)
        logger.info("run %d: %s (%s)", run.id, outcome.verdict, outcome.reason)
        ended = await runs.latest(self.db)
        if self.on_end is not None and ended is not None:
            await self.on_end(ended)

    async def _outcome(self, run: Run) -> RunOutcome:
        if run.attempts > MAX_ATTEMPTS:
            return RunOutcome("failed", "interrupted")
        try:
            if await versions.by_name(self.db, _version_of(run)) is None:
                return await self._learn(run)
            self._may_cancel = False
            return await self._serve(run, read_report(run_folder(self.settings.data_dir, run.id)), run.ratings)
        except Exception as error:
            logger.exception("run %d failed", run.id)
            reason = next((code for kind, code in _FAILURES if isinstance(error, kind)), "unexpected")
            return RunOutcome("failed", reason)

    async def _learn(self, run: Run) -> RunOutcome:
        await self.router.retire_tainted()
        texts = await runs.take_training_data(self.db, run.id, fewest=self.settings.min_ratings)
        have = sum(len(text.ratings) for text in texts)
        if have < self.settings.min_ratings:
            return RunOutcome("skipped", "too_few_ratings", {"have": have, "need": self.settings.min_ratings})
        folder = run_folder(self.settings.data_dir, run.id)
        await asyncio.to_thread(self._prepare, folder, run)
        rows = dataset_of(texts, now=datetime.now(UTC), tenure_days=self.settings.tenure_days)
        report = await train(folder, dump_dataset(rows), on_progress=self._on_progress)
        if not report.passed:
            verdict: RunVerdict = "skipped" if report.reason.code in SKIPPED else "rejected"
            return RunOutcome(verdict, report.reason.code, _numbers(report, have))
        self._may_cancel = False
        if not await self._publish(run, folder / ADAPTER_FOLDER, report):
            self._may_cancel = True
            return await self._learn(run)  # somebody was forgotten at the last moment
        return await self._serve(run, report, have)

    def _prepare(self, folder: Path, run: Run) -> None:
        """Write a fresh run folder, and remove a version that an earlier attempt published but did not record."""
        remove(self.settings.versions_path / _version_of(run))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        settings = self.settings
        config = run_config(
            settings.model, champion=self.router.folder_of(self.router.champion), seed=run.id,
            objective=settings.objective, minutes=settings.train_minutes, steps=settings.train_steps,
            memory_mb=settings.train_memory_mb, niceness=settings.train_niceness, words_file=settings.words_file,
            guard=settings.guard_model, kinds=settings.kinds,
        )  # fmt: skip
        write_config(folder, config)

    async def _publish(self, run: Run, adapter: Path, report: RunReport) -> bool:
        """Publish and record what the gate has passed; False, and nothing left behind, if the run is now tainted."""
        name = _version_of(run)
        card = make_card(
            report, model=self.settings.model, run=run.id, made_at=datetime.now(UTC).isoformat(),
            objective=self.settings.objective, consent_text=CONSENT_TEXT_VERSION,
        )  # fmt: skip
        write_card(adapter, card)
        await asyncio.to_thread(publish, adapter, self.settings.versions_path, name)
        version = Version(name=name, base=self.router.base, run=run.id, state="candidate", created_at=datetime.now(UTC))
        is_clean = await versions.add(self.db, version)
        if not is_clean:
            await asyncio.to_thread(remove, self.settings.versions_path / name)
        return is_clean

    async def _serve(self, run: Run, report: RunReport, ratings_used: int) -> RunOutcome:
        """Let a recorded version serve as far as the settings allow."""
        numbers = _numbers(report, ratings_used)
        if self.settings.promotion == "approve":
            return RunOutcome("canary", "approval", numbers)
        version = _version_of(run)
        if self.settings.canary_share == 0:
            if version != self.router.champion:  # else an earlier attempt has come this far
                await self.router.promote(version)
            return RunOutcome("promoted", report.reason.code, numbers)
        if version != self.router.canary:
            if self.conclude_canary is not None:
                await self.conclude_canary()
            await self.router.start_canary(version)
        return RunOutcome("canary", report.reason.code, {**numbers, "share": self.settings.canary_share})

    async def _end(self, run: Run, outcome: RunOutcome, serving: str) -> None:
        """Record the verdict as soon as the disk takes it; until then no other run may start."""
        while True:
            try:
                return await runs.end(
                    self.db, run.id, verdict=outcome.verdict, reason=outcome.reason, numbers=outcome.numbers,
                    version=serving, at=datetime.now(UTC),
                )  # fmt: skip
            except DatabaseUnusable as error:
                logger.error("the verdict on run %d cannot be written yet: %s", run.id, error)
            await asyncio.sleep(_RETRY_SECONDS)

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress


def _numbers(report: RunReport, ratings: int) -> dict[str, float]:
    """What is told beside a verdict; `left_out` counts what the machine had no time for."""
    left_out = len(report.forecast.left_out) if report.forecast else 0
    told = {"left_out": float(left_out)} if left_out else {}
    return {**report.reason.numbers, **told, "ratings": float(ratings)}


def _version_of(run: Run) -> str:
    return f"v{run.id}"
