"""Reports: a text that somebody finds unfit is hidden at once, and the admins decide. Knows no Telegram type."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.keys import Pseudonyms
from bot.common.text import truncate
from bot.messaging.messenger import Address, Messenger, with_retries
from bot.messaging.render import report_buttons
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import generations, moderation

REPORTS_PER_HOUR = 5
"""By one person, so that nobody can hide everything."""
_TOLD_UNITS = 3000
_SHOWN = ("written", "delivered")
"""States of a text that people may have before them: it is shown a moment before it counts as delivered."""


class Reports:
    """Files reports and carries out what is decided; `on_change` is called when a text is withdrawn or comes back."""

    def __init__(
        self,
        *,
        db: Database,
        pseudonyms: Pseudonyms,
        messenger: Messenger,
        show_again: Callable[[Generation], Awaitable[None]],
        admin_ids: tuple[int, ...],
        on_change: Callable[[], object],
    ) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._messenger = messenger
        self._show_again = show_again
        self._admin_ids = admin_ids
        self._on_change = on_change

    async def report(self, person_id: int, chat_id: int, shown_in: int | None) -> str:
        """File a report of the text that a message shows; returns the id of the sentence to answer with.

        Raises:
            Refusal: the message shows no text, or the person has reported too many.
        """
        generation = None
        if shown_in is not None:
            generation = await generations.by_message(self._db, chat_id=chat_id, message_id=shown_in)
        if generation is None or generation.text is None or generation.state not in _SHOWN:
            raise Refusal("report-usage")
        reporter, now = self._pseudonyms.person(person_id), datetime.now(UTC)
        if await moderation.count_reports_since(self._db, reporter, since=now - timedelta(hours=1)) >= REPORTS_PER_HOUR:
            raise Refusal("report-too-many", limit=REPORTS_PER_HOUR)
        is_new = await moderation.record_report(self._db, generation.id, reporter, at=now)
        is_cleared = generation.moderation_state == "cleared"
        if not is_cleared:
            await self._hide(generation)  # again after a crash: showing it already counts as done
            self._on_change()
        if is_new:
            await self._tell_admins(generation, "report-told-cleared" if is_cleared else "report-told")
        return "report-thanks-cleared" if is_cleared else "report-thanks"

    async def decide(self, generation_id: int, *, shows: bool) -> None:
        """Show a reported text again, or keep it hidden.

        Raises:
            Refusal: there is no such report any more.
        """
        if not await moderation.resolve_report(self._db, generation_id, "cleared" if shows else "hidden"):
            raise Refusal("generation-unknown")
        generation = await generations.by_id(self._db, generation_id)
        if generation is None:
            raise Refusal("generation-unknown")
        with contextlib.suppress(DeliveryError):
            await (self._show_again(generation) if shows else self._hide(generation))
        self._on_change()

    async def hide_again(self, generation: Generation) -> None:
        """Hide a text that was reported while it was being edited in, and that stands in the open because of that."""
        current = await generations.by_id(self._db, generation.id)
        if current is not None and current.is_hidden:
            await self._hide(current)

    async def _hide(self, generation: Generation) -> None:
        to = generation.delivery
        if to.message_id is not None:
            message_id, words = to.message_id, say(to.language, "report-hidden")
            with contextlib.suppress(DeliveryError):
                await with_retries(lambda: self._messenger.edit(to.chat_id, message_id, words))

    async def _tell_admins(self, generation: Generation, sentence: str) -> None:
        for admin in self._admin_ids:
            language = await generations.latest_language_in(self._db, admin) or "en"
            text = truncate(generation.text or "", _TOLD_UNITS)
            words = say(
                language, sentence, generation=str(generation.id), version=generation.version or "", written=text
            )
            address, buttons = Address(chat_id=admin), report_buttons(language, generation.id)
            with contextlib.suppress(DeliveryError):
                await with_retries(partial(self._messenger.send, address, words, buttons))
