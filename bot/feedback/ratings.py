"""From a reaction or a pressed button to a rating, and from a tap to the reason of a 👎 or a choice of two."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bot.common.errors import Refusal
from bot.common.keys import Pseudonyms
from bot.feedback.buttons import RatingButtons
from engine.data.rewards import DOWN, UP, value_of_reactions
from storage.db.database import Database
from storage.db.records import DislikeReason, Generation, RatingEvent, Reaction
from storage.tables import generations, people, ratings

UpOrDown = Literal["up", "down"]


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
    """Records ratings; `on_rating` is called after each."""

    db: Database
    pseudonyms: Pseudonyms
    rating_buttons: RatingButtons
    reaction_values: Mapping[str, float | None]
    """What a reaction is worth from now on."""
    on_rating: Callable[[], object]

    async def react(
        self, *, update_id: int, chat_id: int, message_id: int, person_id: int, emojis: Iterable[str], at: datetime
    ) -> None:
        """Record the whole set of a person's reactions on a message; messages that show no generation are ignored."""
        emojis = tuple(emojis)
        reaction = Reaction(
            update_id=update_id,
            chat_id=chat_id,
            message_id=message_id,
            rater=self.pseudonyms.person(person_id),
            value=value_of_reactions(emojis, self.reaction_values),
            emoji="".join(emojis),
            at=at,
        )
        generation = await ratings.record_reaction(self.db, reaction)
        if generation is not None:
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
            Refusal: the button belongs to no generation that this message shows.
        """
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
            Refusal: they do not, or the button belongs to no generation that this message shows.
        """
        generation = await self._shown(generation_id, chat_id=chat_id, message_id=message_id)
        rater = self.pseudonyms.person(person_id)
        if not await ratings.record_reason(self.db, generation.id, rater, reason, at=datetime.now(UTC)):
            raise Refusal("why-not-yours")
        self.rating_buttons.refresh_soon(generation)

    async def choose(self, generation_id: int, *, chat_id: int, message_id: int, person_id: int) -> bool:
        """Record that a person likes a text better than the other of its duel; returns whether they have opted in.

        Raises:
            Refusal: one of the two is not there, or the button belongs to no generation that this message shows.
        """
        generation = await self._shown(generation_id, chat_id=chat_id, message_id=message_id)
        rater = self.pseudonyms.person(person_id)
        rival = await generations.choose_in_duel(self.db, generation.id, rater, at=datetime.now(UTC))
        if rival is None:
            raise Refusal("duel-one-only")
        for text in (generation, rival):
            self.rating_buttons.refresh_soon(text)
        self.on_rating()
        return await people.has_consented(self.db, rater, generation.chat)

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
