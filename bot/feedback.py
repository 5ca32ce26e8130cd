"""Feedback: from a reaction or a pressed button to a rating, and the new counts back under the message.

Knows what an emoji is worth (through `engine.reward`) and whose verdict stands (through `storage.ratings`). Knows no
Telegram type.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.errors import DeliveryError, NotNow, Refusal
from bot.identity import Pseudonyms
from bot.keyboards import rating_buttons
from bot.messenger import Messenger
from engine.reward import DOWN, UP, value_of_reactions
from storage import generations, people, placing, ratings
from storage.database import Database
from storage.records import Generation, RatingEvent, Reaction

logger = logging.getLogger(__name__)

COUNTS_DELAY_SECONDS = 2.0
"""Counts under a message are refreshed this long after a rating, so that a shower of reactions is one edit."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a press has done."""

    taken_back: bool
    consented: bool
    """The presser has opted in, in this chat."""


class Feedback:
    """Records ratings."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, messenger: Messenger) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._messenger = messenger
        self._refreshing: dict[int, asyncio.Task[None]] = {}
        self._stale: set[int] = set()

    async def react(
        self, *, update_id: int, chat_id: int, message_id: int, person_id: int, emojis: Iterable[str], at: datetime
    ) -> None:
        """Record the whole set of a person's reactions on a message; messages that show no generation are ignored."""
        emojis = tuple(emojis)
        reaction = Reaction(
            update_id=update_id,
            chat_id=chat_id,
            message_id=message_id,
            rater=self._pseudonyms.person(person_id),
            value=value_of_reactions(emojis),
            emoji="".join(emojis),
            at=at,
        )
        generation = await placing.react(self._db, reaction)
        if generation is not None:
            self._refresh_soon(generation)

    async def press(
        self,
        *,
        update_id: int,
        chat_id: int,
        message_id: int,
        person_id: int,
        generation_id: int,
        button: Literal["up", "down"],
        at: datetime,
    ) -> Pressed:
        """Record 👍 or 👎; the same again takes it back.

        Raises:
            Refusal: the button belongs to no generation that this message shows.
        """
        generation = await generations.by_message(self._db, chat_id=chat_id, message_id=message_id)
        if generation is None or generation.id != generation_id:  # a number may be given out again after a restore
            raise Refusal("generation-unknown")
        rater = self._pseudonyms.person(person_id)
        recorded = await ratings.press(
            self._db,
            RatingEvent(
                update_id=update_id,
                generation=generation.id,
                rater=rater,
                source="button",
                value=UP if button == "up" else DOWN,
                emoji="👍" if button == "up" else "👎",
                at=at,
            ),
        )
        self._refresh_soon(generation)
        consented = await people.has_consented(self._db, rater, generation.chat)
        return Pressed(taken_back=recorded.value is None, consented=consented)

    async def close(self) -> None:
        """Stop refreshing counts; the ratings are stored already."""
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refresh_soon(self, generation: Generation) -> None:
        if generation.state != "delivered":
            return  # an unfinished text gets its counts with its end
        self._stale.add(generation.id)
        if generation.id not in self._refreshing:
            task = asyncio.create_task(self._refresh(generation), name=f"counts of {generation.id}")
            self._refreshing[generation.id] = task

    async def _refresh(self, generation: Generation) -> None:
        """Show the counts of the moment; ratings that come meanwhile, or while Telegram has no room, share an edit."""
        pause = COUNTS_DELAY_SECONDS
        try:
            while generation.id in self._stale:
                await asyncio.sleep(pause)
                pause = COUNTS_DELAY_SECONDS
                self._stale.discard(generation.id)
                try:
                    await self._show_counts(generation)
                except NotNow as error:
                    self._stale.add(generation.id)
                    pause = max(error.seconds, COUNTS_DELAY_SECONDS)
                except DeliveryError as error:
                    logger.info("counts of generation %d not refreshed: %s", generation.id, error)
        finally:
            self._stale.discard(generation.id)
            self._refreshing.pop(generation.id, None)

    async def _show_counts(self, generation: Generation) -> None:
        to = generation.delivery
        if to.message_id is not None:
            tally = await ratings.tally(self._db, generation.id)
            await self._messenger.edit_buttons(to.chat_id, to.message_id, rating_buttons(generation.id, tally))
