"""What one person may have recorded in an hour: beyond it presses are refused, and of reactions the last waits."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from bot.common.errors import PutOff, Refusal
from bot.common.keys import Pseudonyms
from bot.feedback.buttons import RatingButtons
from bot.feedback.ratings import Budget, Feedback
from engine.data.rewards import value_of_reactions
from storage.db.database import Database
from storage.db.records import Generation
from storage.tables import ratings
from tests.storage.conftest import NOON, delivered

REACTIONS = {"👍": 1.0, "👎": -1.0}


class Quiet:
    """Rating buttons that nobody sees."""

    def refresh_soon(self, generation: Generation, *, asks: bool = False) -> None:
        pass


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def feedback_on(db: Database, clock: Clock, per_hour: int) -> Feedback:
    buttons: RatingButtons = Quiet()  # type: ignore[assignment]
    return Feedback(
        db=db, pseudonyms=Pseudonyms(bytes(32)), rating_buttons=buttons, reaction_values=REACTIONS,
        on_rating=lambda: None, budget=Budget(per_hour=per_hour, clock=clock),
    )  # fmt: skip


async def react(
    feedback: Feedback, text: Generation, update_id: int, emojis: Iterable[str], *, person: int = 1
) -> bool:
    """Whether it was handled; a reaction that is put off comes again."""
    message = text.delivery.message_id
    assert message is not None
    try:
        await feedback.react(
            update_id=update_id, chat_id=text.delivery.chat_id, message_id=message, person_id=person, emojis=emojis,
            at=NOON + timedelta(seconds=update_id),
        )  # fmt: skip
    except PutOff:
        return False
    return True


@pytest.mark.parametrize("last", [("👍",), ("👎",), ()])
async def test_the_last_state_is_recorded_once_there_is_room(db: Database, last: tuple[str, ...]) -> None:
    clock = Clock()
    feedback = feedback_on(db, clock, per_hour=4)
    text = await delivered(db, 1)
    said = [("👍",), ("👎",)] * 6 + [("👍",), last]
    waiting = [
        (number, emojis) for number, emojis in enumerate(said) if not await react(feedback, text, number, emojis)
    ]
    assert len(waiting) == len(said) - 4
    assert await react(feedback, text, 0, ("👍",), person=2), "others have their own"
    recorded = 0
    for _ in range(3):
        clock.seconds += 900
        before = await db.read(lambda c: c.execute("SELECT count(*) FROM rating_events").fetchone()[0])
        waiting = [(number, emojis) for number, emojis in waiting if not await react(feedback, text, number, emojis)]
        recorded += await db.read(lambda c: c.execute("SELECT count(*) FROM rating_events").fetchone()[0]) - before
    assert waiting == [] and recorded == (2 if last == () else 1), "those between are moot"
    standing = [
        rating.value for rating in await db.read(ratings.current) if rating.rater == Pseudonyms(bytes(32)).person(1)
    ]
    value = value_of_reactions(last, REACTIONS)
    assert standing == ([] if value is None else [value])


async def test_presses_beyond_it_are_refused_in_a_sentence(db: Database) -> None:
    clock = Clock()
    feedback = feedback_on(db, clock, per_hour=3)
    text = await delivered(db, 1)
    message = text.delivery.message_id
    assert message is not None

    async def press(update_id: int) -> None:
        where = {"chat_id": text.delivery.chat_id, "message_id": message, "person_id": 1}
        await feedback.press(text.id, "up", update_id=update_id, **where)

    for number in range(3):
        await press(number)
    with pytest.raises(Refusal, match="rating-too-many"):
        await press(3)
    assert (await ratings.tally(db, text.id)).likes == 1, "what stood stands"
    clock.seconds += 1200
    await press(4)
    assert (await ratings.tally(db, text.id)).likes == 0


async def test_reactions_to_what_is_not_ours_cost_nothing(db: Database) -> None:
    feedback = feedback_on(db, Clock(), per_hour=2)
    text = await delivered(db, 1)
    for number in range(50):
        await feedback.react(
            update_id=number, chat_id=-100, message_id=90_000 + number, person_id=1, emojis=("👍",), at=NOON
        )
    assert await react(feedback, text, 100, ("👍",))
