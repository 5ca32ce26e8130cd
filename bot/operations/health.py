"""Health: whether the bot is alive and ready, and its numbers; over HTTP for this machine, and in chat for admins.

Alive is who keeps time and can write to disk; ready is who also has updates coming in, room in the queue and an engine
that answers. Everything is looked up when asked.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.common.i18n import say
from bot.common.metrics import BotMetrics
from bot.common.settings import Settings
from bot.learning.preference_sync import PreferenceSync
from bot.operations.backups import Backups
from bot.serving.version_router import VersionRouter
from engine.api.client import MOST_USELESS
from engine.http_guard import OwnPagesOnly
from storage.db.database import Database, wal_bytes
from storage.db.errors import StorageError
from storage.tables import generations, inbox, people, runs

SILENCE_SECONDS = 90.0
"""Without an answered poll for so long, updates are not coming in. A webhook is quiet when people are."""

_DISK_SECONDS = 5.0
_LEAST_FREE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that must be so."""

    name: str
    is_ok: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Looks at everything."""

    db: Database
    metrics: BotMetrics
    router: VersionRouter
    preference_sync: PreferenceSync
    backups: Backups
    settings: Settings

    def app(self) -> Starlette:
        """/live, /ready and /metrics: 200 when all is well, 503 with the reasons when not."""

        async def live(_: Request) -> Response:
            return _answer([await self._disk()])

        async def ready(_: Request) -> Response:
            return _answer(await self._checks())

        async def metrics(_: Request) -> Response:
            try:
                return Response(await self._numbers(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
            except StorageError as error:
                return JSONResponse({"error": str(error)}, 503)

        own_only = Middleware(OwnPagesOnly, hosts=self.settings.health_hosts, hint="Or name it in HEALTH_HOSTS.")
        return Starlette(
            routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", metrics)], middleware=[own_only]
        )

    async def summary(self, language: str) -> str:
        """What /health says in chat."""
        checks = [
            f"{'✅' if check.is_ok else '❌'} {say(language, f'health-{check.name}')} · {check.says}"
            for check in await self._checks()
        ]
        taste, fitted = "–", self.preference_sync.fitted
        if fitted is not None:
            auroc = "–" if fitted.auroc is None else f"{fitted.auroc:.2f}"
            taste = say(language, "health-taste", texts=fitted.texts, people=fitted.people, auroc=auroc)
        _, _, dead = await inbox.backlog(self.db, now=datetime.now(UTC))
        trained_at, newest = await runs.last_success(self.db), self.backups.newest()
        return say(
            language,
            "health",
            checks="\n".join(checks),
            version=self.router.champion,
            canary=self.router.canary or "–",
            waiting=await generations.count_unfinished(self.db),
            dead=dead,
            trained=_moment(trained_at),
            backup=_moment(newest[1] if newest else None),
            free=round(self._free_bytes() / 2**30, 1),
            people=await people.count_consented(self.db),
            taste=taste,
        )

    async def _numbers(self) -> bytes:
        """Every metric, in Prometheus's text format."""
        metrics = self.metrics
        depth, age, _ = await inbox.backlog(self.db, now=datetime.now(UTC))
        metrics.queue_depth.set(depth)
        metrics.queue_age.set(age)
        metrics.unfinished.set(await generations.count_unfinished(self.db))
        metrics.wal_bytes.set(wal_bytes(self.db.path))
        metrics.free_disk_bytes.set(self._free_bytes())
        metrics.consented_people.set(await people.count_consented(self.db))
        trained_at, newest = await runs.last_success(self.db), self.backups.newest()
        metrics.last_training_success.set(trained_at.timestamp() if trained_at else 0)
        metrics.last_backup.set(newest[1].timestamp() if newest else 0)
        metrics.active_version.clear()
        metrics.active_version.labels(self.router.champion).set(1)
        return metrics.text()

    async def _checks(self) -> tuple[HealthCheck, ...]:
        """Everything that an answer to a prompt needs."""
        client = self.router.engine
        is_ready = await client.is_ready()
        says = " · ".join(filter(None, [self.router.champion, client.fault]))
        engine = HealthCheck("engine", is_ready and client.useless < MOST_USELESS, says)
        return (await self._disk(), self._updates(), await self._queue(), engine)

    async def _disk(self) -> HealthCheck:
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                await inbox.check_writable(self.db)
        except (StorageError, TimeoutError) as error:
            return HealthCheck("disk", False, str(error) or "no answer")
        free = self._free_bytes()
        return HealthCheck("disk", free > _LEAST_FREE_BYTES, f"{free / 2**30:.1f} GiB")

    def _updates(self) -> HealthCheck:
        if self.settings.webhook_url is not None:
            return HealthCheck("updates", True, "webhook")
        seconds = time.monotonic() - self.metrics.polled_at
        says = " · ".join(filter(None, [f"{seconds:.0f} s", self.metrics.poll_fault]))
        return HealthCheck("updates", seconds < SILENCE_SECONDS, says)

    async def _queue(self) -> HealthCheck:
        waiting = await generations.count_unfinished(self.db)
        return HealthCheck("queue", waiting < self.settings.queue_limit, f"{waiting} / {self.settings.queue_limit}")

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.db.path.parent).free


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "–"


def _answer(checks: Sequence[HealthCheck]) -> Response:
    is_ok = all(check.is_ok for check in checks)
    body = {
        "status": "ok" if is_ok else "failing",
        "checks": {check.name: {"ok": check.is_ok, "says": check.says} for check in checks},
    }
    return JSONResponse(body, 200 if is_ok else 503)
