"""Alerts: what has to reach an admin before anybody asks, each sort at most once in a while."""

import logging
import time
from dataclasses import dataclass, field

from bot.common.errors import DeliveryError
from bot.common.i18n import say
from bot.common.metrics import BotMetrics
from bot.common.tasks import BackgroundTasks
from bot.messaging.messenger import Address, Messenger, with_retries
from storage.db.database import Database
from storage.db.errors import StorageError
from storage.tables import generations, inbox

logger = logging.getLogger(__name__)

QUIET_SECONDS = 600.0
"""An alert of one sort is not repeated for so long; the counts on /metrics and in /health go on."""


@dataclass(kw_only=True)
class AdminAlerts:
    """Tells the admins; also the one place that gives up an update, so that none is given up silently."""

    db: Database
    messenger: Messenger
    metrics: BotMetrics
    admin_ids: tuple[int, ...]
    _told_at: dict[str, float] = field(default_factory=dict, init=False)
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)

    async def give_up(self, update_id: int, error: str) -> None:
        """Give an update up, keep the kind of error (never its words), and tell.

        Raises:
            StorageError: that cannot be stored now.
        """
        await inbox.mark_dead(self.db, update_id, error=error)
        self.given_up(update_id, error)

    def given_up(self, update_id: int, error: str) -> None:
        """Tell that an update was given up."""
        logger.error("update %d is given up: %s", update_id, error)
        self.metrics.dead_letters.inc()
        self.tell("alarm-dead-letter", update=str(update_id), error=error)

    def tell(self, text: str, **values: str | float) -> None:
        """Send a sentence to every admin in the background, unless one of its sort was sent a short while ago."""
        now = time.monotonic()
        if now - self._told_at.get(text, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._told_at[text] = now
        for admin in self.admin_ids:
            self._tasks.start(self._tell(admin, text, values), name=text)

    async def _tell(self, admin: int, text: str, values: dict[str, str | float]) -> None:
        try:
            language = await generations.latest_language_in(self.db, admin) or "en"
            await with_retries(lambda: self.messenger.send(Address(chat_id=admin), say(language, text, **values)))
        except (DeliveryError, StorageError) as error:
            logger.warning("an admin cannot be told (%s): %s", text, error)

    async def close(self) -> None:
        """Cancel what is not sent yet."""
        await self._tasks.close()
