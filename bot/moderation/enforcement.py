"""Bans and reports: who may not use the bot, and which texts are hidden until an admin has decided."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.common.text import truncate
from bot.messaging.messenger import Address, Messenger, report_buttons, with_retries
from storage.db.database import Database
from storage.db.errors import LimitReached
from storage.db.records import Generation
from storage.tables import generations, moderation

REPORTS_PER_HOUR = 5
"""By one person, so that nobody can hide everything."""
_SHOWN_UNITS = 2400
"""Of a reported text, in UTF-16 units, are shown to the admins."""
_VISIBLE = ("written", "delivered")
"""States of a text that people may have before them: it is shown a moment before it counts as delivered."""


@dataclass(kw_only=True)
class Bans:
    """Who is banned, by pseudonym; in memory, because every update is checked. Call `load` before the first one.

    `on_change` is called when somebody is banned or unbanned, so that what learns can take it into account.
    """

    db: Database
    pseudonyms: Pseudonyms
    admin_ids: tuple[int, ...]
    on_change: Callable[[], object]
    _banned: frozenset[str] = field(default=frozenset(), init=False)

    async def load(self) -> None:
        """Read who is banned."""
        self._banned = await moderation.banned(self.db)

    def is_banned(self, person_id: int) -> bool:
        """Whether a person is banned. Admins never are, or one slip would lock the last of them out for good."""
        return person_id not in self.admin_ids and self.pseudonyms.person(person_id) in self._banned

    async def find_person(self, who: str) -> str:
        """The pseudonym that an admin means: by `#12`, the author of generation 12, or by a numeric Telegram id.

        Raises:
            Refusal: it is neither, or there is no such generation.
        """
        number = who.removeprefix("#")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise Refusal("ban-usage")
        if who == number:
            return self.pseudonyms.person(int(number))
        generation = await generations.by_id(self.db, int(number))
        if generation is None:
            raise Refusal("generation-unknown")
        return generation.author

    async def ban(self, person: str) -> bool:
        """Ban a person, and leave their texts and ratings out of all learning; False: they were banned already."""
        is_new = await moderation.ban(self.db, person, at=datetime.now(UTC))
        await self.load()
        self.on_change()
        return is_new

    async def unban(self, person: str) -> bool:
        """Unban a person; False: they were not banned."""
        was_banned = await moderation.unban(self.db, person)
        await self.load()
        self.on_change()
        return was_banned


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Reports of unfit texts, and what admins decide; `on_change` is called when a text is hidden or comes back."""

    db: Database
    pseudonyms: Pseudonyms
    messenger: Messenger
    admin_ids: tuple[int, ...]
    show_again: Callable[[Generation], Awaitable[None]]
    on_change: Callable[[], object]

    async def report(self, person_id: int, chat_id: int, shown_in: int | None) -> str:
        """Hide the text that a message shows and tell the admins; returns the id of the sentence to answer with.

        Raises:
            Refusal: the message shows no text, or the person has reported too many.
        """
        generation = None
        if shown_in is not None:
            generation = await generations.by_message(self.db, chat_id=chat_id, message_id=shown_in)
        if generation is None or generation.text is None or generation.state not in _VISIBLE:
            raise Refusal("report-usage")
        reporter, now = self.pseudonyms.person(person_id), datetime.now(UTC)
        try:
            is_new = await moderation.record_report(self.db, generation.id, reporter, at=now, per_hour=REPORTS_PER_HOUR)
        except LimitReached as error:
            raise Refusal("report-too-many", limit=REPORTS_PER_HOUR) from error
        is_cleared = generation.moderation_state == "cleared"
        if not is_cleared:
            await self._hide(generation)  # again after a crash: showing it already counts as done
            self.on_change()
        if is_new:
            await self._tell_admins(generation, "report-told-cleared" if is_cleared else "report-told")
        return "report-thanks-cleared" if is_cleared else "report-thanks"

    async def decide(self, generation_id: int, *, shows: bool) -> None:
        """Show a reported text again, or keep it hidden.

        Raises:
            Refusal: there is no such report any more.
        """
        is_open = await moderation.resolve_report(self.db, generation_id, "cleared" if shows else "hidden")
        generation = await generations.by_id(self.db, generation_id)
        if not is_open or generation is None:
            raise Refusal("generation-unknown")
        with contextlib.suppress(DeliveryError):
            await (self.show_again(generation) if shows else self._hide(generation))
        self.on_change()

    async def hide_again(self, generation: Generation) -> None:
        """Hide a text that was reported while it was being edited in, and so became visible again."""
        current = await generations.by_id(self.db, generation.id)
        if current is not None and current.is_hidden:
            await self._hide(current)

    async def _hide(self, generation: Generation) -> None:
        to = generation.delivery
        words = say(to.language, "report-hidden")
        for message_id in to.all_messages:
            with contextlib.suppress(DeliveryError):
                await with_retries(partial(self.messenger.edit, to.chat_id, message_id, words))

    async def _tell_admins(self, generation: Generation, sentence: str) -> None:
        values = {"generation": str(generation.id), "version": generation.version or ""}
        for admin in self.admin_ids:
            language = await generations.latest_language_in(self.db, admin) or "en"
            words = say(language, sentence, **values, written=truncate(generation.text or "", _SHOWN_UNITS))
            address, buttons = Address(chat_id=admin), report_buttons(language, generation.id)
            with contextlib.suppress(DeliveryError):
                await with_retries(partial(self.messenger.send, address, words, buttons))
