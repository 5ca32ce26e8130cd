"""Forgetting a person: their tombstone first, then everything of theirs, in the database and in its backups.

Work for them stops before anything is erased, so that nothing of it can be shown or stored afterwards, and the reports
of runs that learned from it lose their words. Rewriting the
files without the erased words follows in the background; the night does it again if that was cut off. Knows people
and the order of these steps. Knows no Telegram type.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot.common.errors import DeliveryError
from bot.common.keys import Keys
from bot.generation.service import GenerationService
from bot.learning.nightly import Nightly
from bot.messaging.confirmations import Done
from bot.messaging.messenger import Messenger
from bot.operations.backups import Cleaning
from storage.db.database import Database
from storage.privacy import erasure, tombstones
from storage.privacy.erasure import Erased
from storage.privacy.tombstones import Tombstone

logger = logging.getLogger(__name__)


class Erasure:
    """Erases people at their wish."""

    def __init__(
        self,
        *,
        db: Database,
        keys: Keys,
        service: GenerationService,
        nightly: Nightly,
        messenger: Messenger,
        file: Path,
        cleaning: Cleaning,
    ) -> None:
        self._db = db
        self._keys = keys
        self._service = service
        self._nightly = nightly
        self._messenger = messenger
        self._file = file
        self._cleaning = cleaning
        self._on_erasure: Callable[[], object] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()

    def when_erased(self, tell: Callable[[], object]) -> None:
        """Have `tell` called after each erasure, so that what has learned from it can learn anew."""
        self._on_erasure = tell

    async def forget(self, person_id: int) -> Done:
        """Erase everything of a person that there is now.

        Raises:
            StorageError: the tombstone or the erasure cannot be written; a later try goes on.
        """
        person = self._keys.pseudonyms.person(person_id)
        await self._service.abandon_all_of(person)
        tombstone = Tombstone(person, await erasure.moment(self._db, person, datetime.now(UTC)))
        await asyncio.to_thread(tombstones.append, self._file, tombstone)
        erased = await self._erase(tombstone)
        values: dict[str, str | float] = {"texts": len(erased.generations), "ratings": erased.ratings}
        return Done("forget-done", values, "forget", is_nameless=True)

    async def finish(self) -> None:
        """Erase those whose erasure a crash cut off. Call before any text is taken up again, for theirs are unreadable.

        Raises:
            StorageError: a tombstone is damaged, or the erasure cannot be written.
        """
        for tombstone in await asyncio.to_thread(tombstones.unfinished, self._file):
            await self._erase(tombstone)
            logger.info("an erasure that was cut off is done")

    async def _erase(self, tombstone: Tombstone) -> Erased:
        person, at = tombstone.person, tombstone.at
        # Before the rows go: afterwards, or after a crash between the two, nobody knows which runs they were.
        await self._nightly.strip(await erasure.learned(self._db, person, at))
        erased = await erasure.forget(self._db, person, at, names=self._keys.named_in)
        self._on_erasure()
        await self._nightly.start_over(erased.runs)
        await self._nightly.strip(erased.runs)  # one may have come to its report meanwhile
        await asyncio.to_thread(tombstones.append, self._file, replace(tombstone, is_done=True))
        for chat_id, message_id in erased.placeholders:
            with contextlib.suppress(DeliveryError):
                await self._messenger.delete(chat_id, message_id)
        self._clean_soon()
        return erased

    async def close(self) -> None:
        """Wait for nothing; what is cut off is done in the night."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _clean_soon(self) -> None:
        task = asyncio.create_task(self._cleaning.clean(), name="cleaning")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
