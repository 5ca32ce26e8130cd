"""The buttons under a finished text, kept up to date: the counts, for a while after a 👎 the reasons why, and after a ✏️
the refinements.

Ratings that come together, or while Telegram has no room, share an edit. The row of reasons comes with the edit that
shows the new count and goes with the edit a minute later, or as soon as nobody's 👎 lacks a reason
(`docs/decisions/0015-taste-between-nights.md`).
"""

import asyncio
import logging
from dataclasses import dataclass, field

from bot.common.errors import DeliveryError, NotNow, Refusal
from bot.common.tasks import cancel
from bot.common.timing import USUAL, Timing
from bot.messaging.messenger import (
    Keyboard,
    Messenger,
    offer_buttons,
    rating_buttons,
    reason_buttons,
    refinement_buttons,
)
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import generations, ratings

logger = logging.getLogger(__name__)

MOST_MESSAGES = 10
"""One offer of inline mode may be sent into many chats; so many of them are kept up to date."""

Rows = dict[int, asyncio.TimerHandle]
"""The generations that have such a row now, each with the timer that removes it."""


@dataclass(kw_only=True)
class RatingButtons:
    """Refreshes buttons in the background."""

    db: Database
    messenger: Messenger
    timing: Timing = USUAL
    _refreshing: dict[int, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _stale: set[int] = field(default_factory=set, init=False)
    _reasons: Rows = field(default_factory=dict, init=False)
    _refinements: Rows = field(default_factory=dict, init=False)

    def refresh_soon(self, generation: Generation, *, asks: bool = False, at_once: bool = False) -> None:
        """Show the present buttons a little later; `asks` adds the reasons, if a 👎 has none yet.

        A text that is not *delivered* by then is left alone: this is to be called once more when it is, since people
        see its buttons, and press them, a moment before that is recorded.
        """
        if asks:
            self._open(self._reasons, generation)
        self._stale.add(generation.id)
        if generation.id not in self._refreshing:
            pause = 0.0 if at_once else self.timing.counts
            task = asyncio.create_task(self._refresh(generation, pause), name=f"buttons of {generation.id}")
            self._refreshing[generation.id] = task

    async def offer_refinements(self, generation: int, *, chat_id: int, shown_in: int) -> None:
        """Show for a while, and at once, the buttons that change a text.

        Raises:
            Refusal: the message does not show that text any more.
        """
        shown = await generations.by_message(self.db, chat_id=chat_id, message_id=shown_in)
        if shown is None or shown.id != generation or not shown.may_be_continued:
            raise Refusal("generation-unknown")
        self._open(self._refinements, shown)
        self.refresh_soon(shown, at_once=True)

    async def close(self) -> None:
        """Stop refreshing; the ratings are stored already."""
        for timer in (*self._reasons.values(), *self._refinements.values()):
            timer.cancel()
        await cancel(*self._refreshing.values())

    def _open(self, rows: Rows, generation: Generation) -> None:
        """Show a row for a while from now."""

        def close() -> None:
            del rows[generation.id]
            self.refresh_soon(generation)

        if (timer := rows.pop(generation.id, None)) is not None:
            timer.cancel()
        rows[generation.id] = asyncio.get_running_loop().call_later(self.timing.offer, close)

    async def _refresh(self, generation: Generation, pause: float) -> None:
        """Show the buttons of the moment, and again what has changed meanwhile."""
        try:
            while generation.id in self._stale:
                await asyncio.sleep(pause)
                pause = self.timing.counts
                self._stale.discard(generation.id)
                try:
                    await self._show(generation)
                except NotNow as error:
                    self._stale.add(generation.id)
                    pause = max(error.seconds, self.timing.counts)
                except DeliveryError as error:
                    logger.info("the buttons of generation %d are not refreshed: %s", generation.id, error)
        finally:
            self._stale.discard(generation.id)
            self._refreshing.pop(generation.id, None)

    async def _show(self, generation: Generation) -> None:
        current = await generations.by_id(self.db, generation.id)
        if current is None or current.state != "delivered" or current.is_hidden:
            return
        to = current.delivery
        tally = await ratings.tally(self.db, generation.id)
        if current.inline_token is not None:
            await self._show_inline(current.id, offer_buttons(current.id, current.inline_token, tally))
        if not to.all_messages:
            return
        buttons = rating_buttons(current, tally)
        if generation.id in self._reasons:
            if await ratings.wants_reason(self.db, generation.id):
                buttons += reason_buttons(to.language, generation.id)
            elif (timer := self._reasons.pop(generation.id, None)) is not None:
                timer.cancel()
        if generation.id in self._refinements:
            buttons += refinement_buttons(to.language, generation.id)
        await self.messenger.edit_buttons(to.chat_id, to.all_messages[-1], buttons)

    async def _show_inline(self, offer: int, buttons: Keyboard) -> None:
        """Show the buttons under an offer of inline mode, in its newest messages."""
        for shown_in in await generations.inline_messages_of(self.db, offer, newest=MOST_MESSAGES):
            try:
                await self.messenger.edit_inline_buttons(shown_in, buttons)
            except NotNow:
                raise
            except DeliveryError as error:
                logger.info("the buttons of offer %d are not refreshed: %s", offer, error)
