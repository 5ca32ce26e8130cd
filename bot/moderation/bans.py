"""Bans: who is shut out of everything, by pseudonym. Knows people and generations, no Telegram type."""

from collections.abc import Callable
from datetime import UTC, datetime

from bot.common.errors import Refusal
from bot.common.keys import Pseudonyms
from storage.db.database import Database
from storage.tables import generations, people


class Bans:
    """Keeps the list in memory, because everybody passes here. Call `open` before the first one does.

    `on_change` is called when somebody is shut out or let in, so that what learns can take it into account.
    """

    def __init__(
        self, *, db: Database, pseudonyms: Pseudonyms, on_change: Callable[[], object], admin_ids: tuple[int, ...] = ()
    ) -> None:
        self._db = db
        self._on_change = on_change
        self._admin_ids = admin_ids
        self._pseudonyms = pseudonyms
        self._banned: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Learn who is shut out."""
        self._banned = await people.banned(self._db)

    def is_banned(self, person_id: int) -> bool:
        """Whether a person is shut out. Admins never are, or one slip would lock the last of them out for good."""
        return person_id not in self._admin_ids and self._pseudonyms.person(person_id) in self._banned

    async def whom(self, who: str) -> str:
        """The pseudonym that an admin means: by `#12`, the author of generation 12, or by a numeric Telegram id.

        Raises:
            Refusal: it is neither, or there is no such generation.
        """
        number = who.removeprefix("#")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise Refusal("ban-usage")
        if who == number:
            return self._pseudonyms.person(int(number))
        generation = await generations.by_id(self._db, int(number))
        if generation is None:
            raise Refusal("generation-unknown")
        return generation.author

    async def ban(self, person: str) -> bool:
        """Shut a person out, and leave their texts and ratings out of all learning; False: they were already."""
        is_new = await people.ban(self._db, person, at=datetime.now(UTC))
        await self.open()
        self._on_change()
        return is_new

    async def unban(self, person: str) -> bool:
        """Let a person in again; False: they were not shut out."""
        was_out = await people.unban(self._db, person)
        await self.open()
        self._on_change()
        return was_out
