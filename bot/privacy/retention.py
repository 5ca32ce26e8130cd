"""Retention: each hour, what is kept too long is deleted, and tainted versions are destroyed.

A failure is logged and tried again the next hour.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.common.settings import Settings
from bot.learning.nightly import prune_runs, run_folder
from bot.serving.version_router import VersionRouter
from engine.errors import EngineError
from engine.runs.run_dir import strip_run
from engine.runs.versions import remove
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.db.records import Version
from storage.privacy import retention
from storage.tables import versions

logger = logging.getLogger(__name__)

WITHOUT_CONSENT = timedelta(hours=24)
"""So long after its delivery a text stays whole for which somebody has not opted in: it may be refined meanwhile."""

WITHOUT_WORDS = timedelta(days=7)
"""So long after its delivery a text that has lost its words is still found by Telegram's ids, for the counts under it.
The admins' own chats keep theirs: the last prompt there says in which language they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Nothing is kept longer than RETENTION_DAYS, nor more runs than RUNS_KEEP; a version that is tainted may serve for
    TAINTED_DAYS."""

    db: Database
    router: VersionRouter
    settings: Settings

    async def sweep(self) -> None:
        """Delete and destroy what is due."""
        now = datetime.now(UTC)
        oldest = now - timedelta(days=self.settings.retention_days)
        try:
            texts, ratings = await retention.purge_unconsented(self.db, before=now - WITHOUT_CONSENT)
            await retention.drop_addresses(
                self.db, failed_before=now - WITHOUT_CONSENT, delivered_before=now - WITHOUT_WORDS,
                keep=self.settings.admin_ids,
            )  # fmt: skip
            old = await retention.delete_expired(self.db, before=oldest)
            await self._retire_tainted(before=now - timedelta(days=self.settings.tainted_days))
            for version in await versions.to_destroy(self.db, old_before=oldest):
                await self._destroy(version)
            pruned = await self._prune_runs()
        except (StorageError, EngineError, OSError):
            logger.exception("what is kept too long could not be deleted; trying again in an hour")
            return
        if pruned:
            logger.info("the folders of %d old runs deleted", pruned)
        if texts or ratings or old:
            logger.info("words of %d texts and raters of %d ratings purged; %d old texts deleted", texts, ratings, old)

    async def _prune_runs(self) -> int:
        needed = await versions.needed_runs(self.db)
        return await asyncio.to_thread(prune_runs, self.settings.data_dir, keep=self.settings.runs_keep, needed=needed)

    async def _retire_tainted(self, *, before: datetime) -> None:
        """Normally the next run retires them; this is for where no run comes."""
        serving = await versions.tainted_serving(self.db, self.router.base)
        if any(version.tainted_at is not None and version.tainted_at <= before for version in serving):
            await self.router.retire_tainted()

    async def _destroy(self, version: Version) -> None:
        with contextlib.suppress(EngineError):  # it is not loaded, or another server does not unload
            await self.router.engine.unload_adapter(version.name)
        await asyncio.to_thread(remove, self.settings.versions_path / version.name)
        assert version.run is not None, "the base is never destroyed"
        await asyncio.to_thread(strip_run, run_folder(self.settings.data_dir, version.run))
        await versions.mark_destroyed(self.db, version.name, at=datetime.now(UTC))
        logger.info("version %s is destroyed", version.name)
