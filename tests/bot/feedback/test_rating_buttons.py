"""The row of reasons under a text: it comes with a 👎 that was pressed, and goes by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from bot.common.timing import Timing
from bot.feedback.buttons import RatingButtons
from bot.messaging.messenger import Keyboard
from storage.db.database import Database
from storage.db.records import Generation, RatingEvent
from storage.tables import ratings
from tests.storage.conftest import NOON, delivered


class Screen:
    """A messenger that only shows buttons."""

    def __init__(self) -> None:
        self.shown: list[Keyboard] = []

    async def edit_buttons(self, chat_id: int, message_id: int, buttons: Keyboard) -> None:
        self.shown.append(buttons)

    @property
    def rows(self) -> list[int]:
        return [len(buttons) for buttons in self.shown]


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
async def shown(db: Database, screen: Screen) -> AsyncIterator[RatingButtons]:
    made = RatingButtons(db=db, messenger=screen, timing=Timing(counts=0.01, offer=0.5))  # type: ignore[arg-type]
    yield made
    await made.close()


async def disliked(db: Database, update_id: int = 10) -> Generation:
    text = await delivered(db, update_id)
    event = RatingEvent(
        update_id=update_id + 1, generation=text.id, rater="bob", source="button", value=-1.0, emoji="👎", at=NOON
    )
    await ratings.record_button(db, event)
    return text


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_the_reasons_stand_for_a_while_in_the_language_of_the_text(
    db: Database, screen: Screen, shown: RatingButtons
) -> None:
    text = await disliked(db)
    shown.refresh_soon(text, asks=True)
    await until(lambda: screen.rows == [2])
    assert [button.text for button in screen.shown[0][1]] == ["boring", "off topic", "too long", "wrong"]
    assert all(len(button.data.encode()) <= 64 for button in screen.shown[0][1])
    await until(lambda: screen.rows == [2, 1])


async def test_they_go_once_a_reason_is_given_and_come_for_nothing_but_a_pressed_dislike(
    db: Database, screen: Screen, shown: RatingButtons
) -> None:
    text = await disliked(db)
    shown.refresh_soon(text, asks=True)
    await until(lambda: screen.rows == [2])
    await ratings.record_reason(db, text.id, "bob", "wrong", at=NOON)
    shown.refresh_soon(text)
    await until(lambda: screen.rows == [2, 1])
    other = await disliked(db, 20)
    shown.refresh_soon(other)  # somebody else's 👍
    await until(lambda: screen.rows == [2, 1, 1])
    await asyncio.sleep(0.7)
    assert screen.rows == [2, 1, 1], "no timer is left behind"
