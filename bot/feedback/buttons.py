"""The buttons under a finished text, kept up to date: the counts, for a while after a 👎 why that was, and after a ✏️
what may be wished.

Ratings that come together, or while Telegram has no room, share an edit. The row of reasons comes with the edit that
shows the new count and goes with the edit a minute later, or as soon as nobody's 👎 lacks a reason
(`docs/decisions/0015-taste-between-nights.md`). Knows what stands; knows nothing of who rates, or how.
"""

import asyncio
import logging

from bot.common.errors import DeliveryError, NotNow, Refusal
from bot.common.tasks import cancel
from bot.common.timing import USUAL, Timing
from bot.messaging.messenger import Keyboard, Messenger
from bot.messaging.render import offer_buttons, rating_buttons, reason_buttons, wish_buttons
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import generations, ratings

logger = logging.getLogger(__name__)

MOST_MESSAGES = 10
"""One take of inline mode may be sent into many chats; so many of them are kept up to date."""


class RatingButtons:
    """Refreshes buttons in the background."""

    def __init__(self, *, db: Database, messenger: Messenger, timing: Timing = USUAL) -> None:
        self._db = db
        self._timing = timing
        self._messenger = messenger
        self._refreshing: dict[int, asyncio.Task[None]] = {}
        self._stale: set[int] = set()
        self._asking: dict[int, float] = {}
        """Until when, on the loop's clock, the reasons may stand under a generation."""
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._wishing: dict[int, asyncio.TimerHandle] = {}
        """Takes the wishes away from under a generation."""

    def refresh_soon(self, generation: Generation, *, asks: bool = False, at_once: bool = False) -> None:
        """Show what stands a little later; `asks` offers the reasons too, where a 👎 stands without one.

        A text that is not *delivered* by then is left alone: this is to be called once more when it is, since people
        see its buttons, and press them, a moment before that is recorded.
        """
        if asks:
            self._asking[generation.id] = asyncio.get_running_loop().time() + self._timing.offer
        self._stale.add(generation.id)
        if generation.id not in self._refreshing:
            pause = 0.0 if at_once else self._timing.counts
            task = asyncio.create_task(self._refresh(generation, pause), name=f"counts of {generation.id}")
            self._refreshing[generation.id] = task

    async def offer_wishes(self, generation: int, *, chat_id: int, shown_in: int) -> None:
        """Show for a while, and at once, the buttons that change a text.

        Raises:
            Refusal: the message does not show that text any more.
        """
        shown = await generations.by_message(self._db, chat_id=chat_id, message_id=shown_in)
        if shown is None or shown.id != generation or not shown.may_be_continued:
            raise Refusal("generation-unknown")
        if (timer := self._wishing.pop(generation, None)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._wishing[generation] = loop.call_later(self._timing.offer, self._withdraw_wishes, shown)
        self.refresh_soon(shown, at_once=True)

    def _withdraw_wishes(self, generation: Generation) -> None:
        del self._wishing[generation.id]
        self.refresh_soon(generation)

    async def close(self) -> None:
        """Stop refreshing; the ratings are stored already."""
        for timer in (*self._timers.values(), *self._wishing.values()):
            timer.cancel()
        await cancel(*self._refreshing.values())

    async def _refresh(self, generation: Generation, pause: float) -> None:
        """Show the buttons of the moment, and again what has changed meanwhile."""
        try:
            while generation.id in self._stale:
                await asyncio.sleep(pause)
                pause = self._timing.counts
                self._stale.discard(generation.id)
                try:
                    await self._show(generation)
                except NotNow as error:
                    self._stale.add(generation.id)
                    pause = max(error.seconds, self._timing.counts)
                except DeliveryError as error:
                    logger.info("counts of generation %d not refreshed: %s", generation.id, error)
        finally:
            self._stale.discard(generation.id)
            self._refreshing.pop(generation.id, None)

    async def _show(self, generation: Generation) -> None:
        current = await generations.by_id(self._db, generation.id)
        if current is None or current.state != "delivered" or current.is_hidden:
            return
        to = current.delivery
        tally = await ratings.tally(self._db, generation.id)
        if current.inline_token is not None:
            await self._show_elsewhere(current.id, offer_buttons(current.id, current.inline_token, tally))
        if to.message_id is None:
            return
        buttons = rating_buttons(current, tally)
        if await self._is_asking(generation):
            buttons += reason_buttons(to.language, generation.id)
        if generation.id in self._wishing:
            buttons += wish_buttons(to.language, generation.id)
        await self._messenger.edit_buttons(to.chat_id, to.message_id, buttons)

    async def _show_elsewhere(self, take: int, buttons: Keyboard) -> None:
        """Show the buttons under a take of inline mode, in the newest messages that it stands in."""
        for shown_in in await generations.inline_messages_of(self._db, take, newest=MOST_MESSAGES):
            try:
                await self._messenger.edit_inline_buttons(shown_in, buttons)
            except NotNow:
                raise
            except DeliveryError as error:
                logger.info("counts of take %d not refreshed: %s", take, error)

    async def _is_asking(self, generation: Generation) -> bool:
        """Whether the reasons are to stand now; if so, they are looked at again when their time is over."""
        loop = asyncio.get_running_loop()
        if (timer := self._timers.pop(generation.id, None)) is not None:
            timer.cancel()
        until = self._asking.get(generation.id)
        if until is None:
            return False
        if until <= loop.time() or not await ratings.wants_reason(self._db, generation.id):
            del self._asking[generation.id]
            return False
        self._timers[generation.id] = loop.call_at(until, self.refresh_soon, generation)
        return True
