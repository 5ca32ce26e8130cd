"""Retention as a service: each hour, what is kept too long is deleted, and tainted versions are destroyed.

Knows periods and folders, not what is in them. A failure is logged and tried again the next hour.
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.learning.nightly import run_folder
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


class Retention:
    """`days` is how long anything is kept, `tainted_days` how long a version may serve once it is tainted."""

    def __init__(self, *, db: Database, router: VersionRouter, data_dir: Path, days: int, tainted_days: float) -> None:
        self._db = db
        self._router = router
        self._data_dir = data_dir
        self._kept = timedelta(days=days)
        self._tainted = timedelta(days=tainted_days)

    async def sweep(self) -> None:
        """Delete and destroy what is due."""
        now = datetime.now(UTC)
        try:
            texts, ratings = await retention.purge_unconsented(self._db, before=now - WITHOUT_CONSENT)
            old = await retention.delete_expired(self._db, before=now - self._kept)
            await self._end_service(now)
            for version in await versions.to_destroy(self._db, old_before=now - self._kept):
                await self._destroy(version)
        except (StorageError, EngineError, OSError):
            logger.exception("what is kept too long could not be deleted; trying again in an hour")
            return
        if texts or ratings or old:
            logger.info("words of %d texts and raters of %d ratings purged; %d old texts deleted", texts, ratings, old)

    async def _end_service(self, now: datetime) -> None:
        """Normally the next run ends it; where no run comes, this does."""
        serving = await versions.tainted_serving(self._db, self._router.base)
        if any(version.tainted_at is not None and version.tainted_at <= now - self._tainted for version in serving):
            await self._router.retire_tainted()

    async def _destroy(self, version: Version) -> None:
        with contextlib.suppress(EngineError):  # it is not loaded, or another server does not unload
            await self._router.engine.unload_adapter(version.name)
        await asyncio.to_thread(remove, self._data_dir / "versions" / version.name)
        assert version.run is not None, "the base is never destroyed"
        await asyncio.to_thread(strip_run, run_folder(self._data_dir, version.run))
        await versions.mark_destroyed(self._db, version.name, at=datetime.now(UTC))
        logger.info("version %s is destroyed", version.name)
