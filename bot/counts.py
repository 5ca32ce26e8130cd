"""The buttons under a finished text, kept up to date: the counts, and for a while after a 👎 why that was.

Ratings that come together, or while Telegram has no room, share an edit. The row of reasons comes with the edit that
shows the new count and goes with the edit a minute later, or as soon as nobody's 👎 lacks a reason
(`docs/decisions/0015-taste-between-nights.md`). Knows what stands; knows nothing of who rates, or how.
"""

import asyncio
import logging

from bot.errors import DeliveryError, NotNow
from bot.keyboards import rating_buttons, reason_buttons
from bot.messenger import Messenger
from storage import generations, ratings, reasons
from storage.database import Database
from storage.records import Generation

logger = logging.getLogger(__name__)

COUNTS_DELAY_SECONDS = 2.0
"""Counts under a message are refreshed this long after a rating, so that a shower of reactions is one edit."""
REASONS_SECONDS = 60.0
"""How long a 👎 may be explained by a button."""


class Counts:
    """Refreshes buttons in the background."""

    def __init__(self, *, db: Database, messenger: Messenger) -> None:
        self._db = db
        self._messenger = messenger
        self._refreshing: dict[int, asyncio.Task[None]] = {}
        self._stale: set[int] = set()
        self._asking: dict[int, float] = {}
        """Until when, on the loop's clock, the reasons may stand under a generation."""
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def refresh_soon(self, generation: Generation, *, asks: bool = False) -> None:
        """Show what stands a little later; `asks` offers the reasons too, where a 👎 stands without one."""
        if generation.state != "delivered":
            return  # an unfinished text gets its counts with its end
        if asks:
            self._asking[generation.id] = asyncio.get_running_loop().time() + REASONS_SECONDS
        self._stale.add(generation.id)
        if generation.id not in self._refreshing:
            task = asyncio.create_task(self._refresh(generation), name=f"counts of {generation.id}")
            self._refreshing[generation.id] = task

    async def close(self) -> None:
        """Stop refreshing; the ratings are stored already."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, generation: Generation) -> None:
        """Show the buttons of the moment, and again what has changed meanwhile."""
        pause = COUNTS_DELAY_SECONDS
        try:
            while generation.id in self._stale:
                await asyncio.sleep(pause)
                pause = COUNTS_DELAY_SECONDS
                self._stale.discard(generation.id)
                try:
                    await self._show(generation)
                except NotNow as error:
                    self._stale.add(generation.id)
                    pause = max(error.seconds, COUNTS_DELAY_SECONDS)
                except DeliveryError as error:
                    logger.info("counts of generation %d not refreshed: %s", generation.id, error)
        finally:
            self._stale.discard(generation.id)
            self._refreshing.pop(generation.id, None)

    async def _show(self, generation: Generation) -> None:
        to = generation.delivery
        current = await generations.by_id(self._db, generation.id)
        if to.message_id is None or current is None or current.is_hidden:
            return
        buttons = rating_buttons(generation.id, await ratings.tally(self._db, generation.id))
        if await self._is_asking(generation):
            buttons += reason_buttons(to.language, generation.id)
        await self._messenger.edit_buttons(to.chat_id, to.message_id, buttons)

    async def _is_asking(self, generation: Generation) -> bool:
        """Whether the reasons are to stand now; if so, they are looked at again when their time is over."""
        loop = asyncio.get_running_loop()
        if (timer := self._timers.pop(generation.id, None)) is not None:
            timer.cancel()
        until = self._asking.get(generation.id)
        if until is None:
            return False
        if until <= loop.time() or not await reasons.is_wanted(self._db, generation.id):
            del self._asking[generation.id]
            return False
        self._timers[generation.id] = loop.call_at(until, self.refresh_soon, generation)
        return True
