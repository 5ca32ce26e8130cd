"""Erasure of a person: their tombstone first, then everything of theirs, in the database and in its backups.

In the bot, work for them stops before anything is erased, so that nothing of it can be shown or stored afterwards. The
reports of runs that learned from them lose their words. Rewriting the files without the erased words follows in the
background; the nightly cleanup does it again if that was cut off.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.common.errors import DeliveryError
from bot.common.keys import Keys, Pseudonyms, open_existing_keys, open_keys
from bot.common.lock import hold_data_dir
from bot.common.settings import DataSettings
from bot.common.tasks import BackgroundTasks
from bot.generation.service import GenerationService
from bot.learning.nightly import Nightly, run_folder
from bot.messaging.confirmations import Done
from bot.messaging.messenger import Messenger
from bot.operations.backups import OPERATOR, Backups, Cleanup
from engine.runs.run_dir import strip_run
from storage.backup.backup import Scrubbed
from storage.db.database import Database
from storage.db.records import AuditEntry
from storage.privacy import erasure, tombstones
from storage.privacy.erasure import Erased
from storage.privacy.tombstones import Tombstone
from storage.tables import moderation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Erases people at their wish. `on_erased` is called after each, so that what learned from them is refitted."""

    db: Database
    keys: Keys
    service: GenerationService
    nightly: Nightly
    messenger: Messenger
    settings: DataSettings
    cleanup: Cleanup
    on_erased: Callable[[], object]
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks, init=False)

    async def forget(self, person_id: int) -> Done:
        """Erase everything of a person that there is now; after a StorageError a later try goes on."""
        person = self.keys.pseudonyms.person(person_id)
        await self.service.abandon_all_of(person)
        erased = await self._erase(await erasure.request(self.db, self.settings.tombstones_path, person))
        values: dict[str, str | float] = {"texts": len(erased.generations), "ratings": erased.ratings}
        return Done("forget-done", values, "forget", is_nameless=True)

    async def finish(self) -> None:
        """Erase those whose erasure a crash cut off. Call before any text is taken up again, for theirs are unreadable.

        Raises:
            StorageError: a tombstone is damaged, or the erasure cannot be written.
        """
        for tombstone in await asyncio.to_thread(tombstones.unfinished, self.settings.tombstones_path):
            await self._erase(tombstone)
            logger.info("an erasure that was cut off is done")

    async def close(self) -> None:
        """Stop at once; what is cut off is done in the night."""
        await self._tasks.close()

    async def _erase(self, tombstone: Tombstone) -> Erased:
        async def relearn(erased: Erased) -> None:
            self.on_erased()
            await self.nightly.start_over(erased.runs)
            await self.nightly.strip(erased.runs)  # one may have come to its report meanwhile

        erased = await erasure.carry_out(
            self.db, self.settings.tombstones_path, tombstone, named_in=self.keys.named_in, strip=self.nightly.strip,
            then=relearn,
        )  # fmt: skip
        for chat_id, message_id in erased.placeholders:
            with contextlib.suppress(DeliveryError):
                await self.messenger.delete(chat_id, message_id)
        self._tasks.start(self.cleanup.clean(), name="cleanup")
        return erased


async def erase_offline(settings: DataSettings, person: str) -> tuple[Erased, Scrubbed]:
    """Erase everything of a person, by pseudonym, from the database and every backup, while the bot is stopped.

    Raises:
        StartError: a bot runs on the data folder, or its key is missing.
        StorageError: something could not be written; a later try goes on.
    """

    async def strip(runs: Collection[int]) -> None:
        for run in runs:
            strip_run(run_folder(settings.data_dir, run))

    with hold_data_dir(settings.data_dir):
        keys = open_existing_keys(settings)
        db = await Database.open(settings.database_path, keys.keyring)
        try:
            file = settings.tombstones_path
            tombstone = await erasure.request(db, file, person)
            erased = await erasure.carry_out(db, file, tombstone, named_in=keys.named_in, strip=strip)
            await moderation.append_audit(db, AuditEntry(datetime.now(UTC), OPERATOR, "forget", person))
            await erasure.vacuum(db)
        finally:
            await db.close()
        return erased, await Backups(settings, keys).scrub()


def pseudonym_of(settings: DataSettings, person: str) -> str | None:
    """The pseudonym of somebody named by it, or by a numeric Telegram id (StartError without keys); or None."""
    if len(person) == Pseudonyms.LENGTH and set(person) <= set("0123456789abcdef"):
        return person
    if person.isascii() and person.isdigit():
        return open_keys(settings).pseudonyms.person(int(person))
    return None
