"""From a reaction or a pressed button to a rating, and from a tap to the reason of a 👎 or a choice of two."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cachetools import TTLCache

from bot.common.errors import PutOff, Refusal
from bot.common.keys import Pseudonyms
from bot.feedback.buttons import RatingButtons
from engine.data.rewards import DOWN, UP, value_of_reactions
from storage.db.database import Database
from storage.db.records import DislikeReason, Generation, RatingEvent, Reaction
from storage.tables import generations, people, ratings

UpOrDown = Literal["up", "down"]

RATINGS_PER_HOUR = 3600
"""Reactions, presses, reasons and choices of one person that are recorded in an hour, each of which writes a few pages
of the database: nobody rates a text every second for an hour. As many may come at once."""
_HOUR_SECONDS = 3600.0
_MOST_PEOPLE = 10_000


@dataclass(kw_only=True, slots=True)
class Budget:
    """What one person may have recorded, refilled as time goes by; whose hour is full again is forgotten."""

    per_hour: int = RATINGS_PER_HOUR
    clock: Callable[[], float] = time.monotonic
    _left: TTLCache[int, tuple[float, float]] = field(
        default_factory=lambda: TTLCache(_MOST_PEOPLE, _HOUR_SECONDS), init=False
    )
    """By person: how much was left, and when."""

    def spend(self, person_id: int) -> bool:
        """Take one from what a person has left; False where there is none."""
        now = self.clock()
        left, since = self._left.get(person_id, (float(self.per_hour), now))
        left = min(float(self.per_hour), left + (now - since) * self.per_hour / _HOUR_SECONDS)
        self._left[person_id] = (left - (left >= 1), now)
        return left >= 1

    def give_back(self, person_id: int) -> None:
        """Nothing was recorded after all."""
        left, since = self._left.get(person_id, (float(self.per_hour), self.clock()))
        self._left[person_id] = (min(float(self.per_hour), left + 1), since)


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a press has done."""

    taken_back: bool
    consented: bool
    """The presser has opted in, in the chat that counts."""
    may_teach: bool = True
    """It could be learned from, if everybody agreed; in a channel it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Records ratings; `on_rating` is called after each.

    Beyond `RATINGS_PER_HOUR` a person's presses are refused, and their reactions put off: of those on one message that
    wait, the last that says something and the last that says nothing are recorded once there is room, so that the last
    state always is.
    """

    db: Database
    pseudonyms: Pseudonyms
    rating_buttons: RatingButtons
    reaction_values: Mapping[str, float | None]
    """What a reaction is worth from now on."""
    on_rating: Callable[[], object]
    budget: Budget = field(default_factory=Budget)
    _put_off: dict[tuple[int, int, int, bool], tuple[datetime, int]] = field(default_factory=dict, init=False)
    """By person, chat, message and whether it says something: date and update of the last reaction that waits."""

    async def react(
        self, *, update_id: int, chat_id: int, message_id: int, person_id: int, emojis: Iterable[str], at: datetime
    ) -> None:
        """Record the whole set of a person's reactions on a message; messages that show no generation are ignored.

        Raises:
            PutOff: they react so often that this one has to wait.
        """
        emojis = tuple(emojis)
        value = value_of_reactions(emojis, self.reaction_values)
        waiting, own = (person_id, chat_id, message_id, value is None), (at, update_id)
        if self._put_off.get(waiting, own) > own:
            return  # the later one decides
        if not self.budget.spend(person_id):
            self._put_off[waiting] = own
            raise PutOff
        self._put_off.pop(waiting, None)
        reaction = Reaction(
            update_id=update_id,
            chat_id=chat_id,
            message_id=message_id,
            rater=self.pseudonyms.person(person_id),
            value=value,
            emoji="".join(emojis),
            at=at,
        )
        generation = await ratings.record_reaction(self.db, reaction)
        if generation is None:
            self.budget.give_back(person_id)  # it is on somebody else's message, mostly
        else:
            self.rating_buttons.refresh_soon(generation)
            self.on_rating()

    async def react_unnamed(
        self, *, update_id: int, chat_id: int, message_id: int, before: Collection[str], after: Collection[str]
    ) -> None:
        """Count what somebody has changed who reacts as a group or channel, and so is no rater."""
        change = {emoji: (emoji in after) - (emoji in before) for emoji in {*before, *after}}
        await ratings.record_anonymous_reaction(
            self.db, change, chat_id=chat_id, message_id=message_id, update_id=update_id
        )

    async def count(
        self, *, update_id: int, chat_id: int, message_id: int, totals: Mapping[str, int], at: datetime
    ) -> None:
        """Record how often each emoji is on a message whose reactions Telegram only counts."""
        await ratings.record_reaction_counts(
            self.db, totals, chat_id=chat_id, message_id=message_id, at=at, update_id=update_id
        )

    async def press(
        self, generation_id: int, button: UpOrDown, *, update_id: int, chat_id: int, message_id: int, person_id: int
    ) -> Pressed:
        """Record 👍 or 👎; the same again takes it back.

        Raises:
            Refusal: the button belongs to no generation that this message shows, or they press too often.
        """
        self._check(person_id)
        generation = await self._shown(generation_id, chat_id=chat_id, message_id=message_id)
        rater = self.pseudonyms.person(person_id)
        is_taken_back = await self._record(update_id, generation, rater, button)
        consented = await people.has_consented(self.db, rater, generation.chat)
        return Pressed(taken_back=is_taken_back, consented=consented, may_teach=not generation.delivery.is_channel)

    async def press_inline(
        self, generation_id: int, token: str, button: UpOrDown, *, update_id: int, shown_in: str, person_id: int
    ) -> Pressed:
        """`press` under an inline message, where a person's consent is the one of their own private chat.

        Raises:
            Refusal: the button belongs to no text that this message shows.
        """
        self._check(person_id)
        now = datetime.now(UTC)
        generation = await generations.choose_inline_result(self.db, token, shown_in=shown_in, at=now)
        if generation is None or generation.id != generation_id:
            raise Refusal("generation-unknown")
        rater, home = self.pseudonyms.person(person_id), self.pseudonyms.chat(person_id)
        await people.record_private_chat(self.db, rater, home, at=now)
        is_taken_back = await self._record(update_id, generation, rater, button)
        return Pressed(taken_back=is_taken_back, consented=await people.has_consented(self.db, rater, home))

    async def explain(
        self, generation_id: int, reason: DislikeReason, *, chat_id: int, message_id: int, person_id: int
    ) -> None:
        """Record why a person dislikes a text.

        Raises:
            Refusal: they do not, or the button belongs to no generation that this message shows, or as in `press`.
        """
        self._check(person_id)
        generation = await self._shown(generation_id, chat_id=chat_id, message_id=message_id)
        rater = self.pseudonyms.person(person_id)
        if not await ratings.record_reason(self.db, generation.id, rater, reason, at=datetime.now(UTC)):
            raise Refusal("why-not-yours")
        self.rating_buttons.refresh_soon(generation)

    async def choose(self, generation_id: int, *, chat_id: int, message_id: int, person_id: int) -> bool:
        """Record that a person likes a text better than the other of its duel; returns whether they have opted in.

        Raises:
            Refusal: one of the two is not there, or the button belongs to no generation that this message shows, or as
                in `press`.
        """
        self._check(person_id)
        generation = await self._shown(generation_id, chat_id=chat_id, message_id=message_id)
        rater = self.pseudonyms.person(person_id)
        rival = await generations.choose_in_duel(self.db, generation.id, rater, at=datetime.now(UTC))
        if rival is None:
            raise Refusal("duel-one-only")
        for text in (generation, rival):
            self.rating_buttons.refresh_soon(text)
        self.on_rating()
        return await people.has_consented(self.db, rater, generation.chat)

    def _check(self, person_id: int) -> None:
        if not self.budget.spend(person_id):
            raise Refusal("rating-too-many", limit=self.budget.per_hour)

    async def _shown(self, generation_id: int, *, chat_id: int, message_id: int) -> Generation:
        generation = await generations.by_message(self.db, chat_id=chat_id, message_id=message_id)
        if generation is None or generation.id != generation_id:  # a number may be given out again after a restore
            raise Refusal("generation-unknown")
        return generation

    async def _record(self, update_id: int, generation: Generation, rater: str, button: UpOrDown) -> bool:
        """Record a press; True: it took the rating back."""
        recorded = await ratings.record_button(
            self.db,
            RatingEvent(
                update_id=update_id,
                generation=generation.id,
                rater=rater,
                source="button",
                value=UP if button == "up" else DOWN,
                emoji="👍" if button == "up" else "👎",
                at=datetime.now(UTC),
            ),
        )
        asks = button == "down" and recorded.value is not None and generation.inline_token is None
        self.rating_buttons.refresh_soon(generation, asks=asks and not generation.delivery.is_channel)
        self.on_rating()
        return recorded.value is None
