"""Forgetting a person: their tombstone first, then everything of theirs, in the database and in its backups.

Work for them stops before anything is erased, so that nothing of it can be shown or stored afterwards. Rewriting the
files without the erased words follows in the background; the night does it again if that was cut off. Knows people
and the order of these steps. Knows no Telegram type.
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path

from bot.backups import Backups
from bot.confirmations import Done
from bot.errors import DeliveryError
from bot.identity import Pseudonyms
from bot.messenger import Messenger
from bot.studio import Studio
from storage import erasure, tombstones
from storage.database import Database
from storage.errors import StorageError
from storage.tombstones import Tombstone

logger = logging.getLogger(__name__)


class Forgetting:
    """Erases people at their wish."""

    def __init__(
        self,
        *,
        db: Database,
        pseudonyms: Pseudonyms,
        studio: Studio,
        messenger: Messenger,
        file: Path,
        backups: Backups,
    ) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._studio = studio
        self._messenger = messenger
        self._file = file
        self._backups = backups
        self._cleaning: set[asyncio.Task[None]] = set()

    async def forget(self, person_id: int) -> Done:
        """Erase everything of a person that there is now.

        Raises:
            StorageError: the tombstone or the erasure cannot be written; a later try goes on.
        """
        person = self._pseudonyms.person(person_id)
        await self._studio.abandon_all_of(person)
        at = await erasure.moment(self._db, person, datetime.now(UTC))
        await asyncio.to_thread(tombstones.append, self._file, Tombstone(person, at))
        erased = await erasure.forget(self._db, person, at, names=self._pseudonyms.named_in)
        for chat_id, message_id in erased.placeholders:
            with contextlib.suppress(DeliveryError):
                await self._messenger.delete(chat_id, message_id)
        self._clean_soon()
        values: dict[str, str | float] = {"texts": len(erased.generations), "ratings": erased.ratings}
        return Done("forget-done", values, "forget")

    async def clean(self) -> None:
        """Get what was erased off the disk: out of the free pages, the log and the backups."""
        try:
            if not await erasure.purge(self._db):
                logger.info("somebody is reading; the night empties the log")
            await self._backups.scrub()
        except (StorageError, OSError) as error:
            logger.error("what was erased is not yet off the disk; the night tries again: %s", error)

    async def close(self) -> None:
        """Wait for nothing; what is cut off is done in the night."""
        for task in list(self._cleaning):
            task.cancel()
        await asyncio.gather(*self._cleaning, return_exceptions=True)

    def _clean_soon(self) -> None:
        task = asyncio.create_task(self.clean(), name="cleaning")
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

