"""Telegram's errors become ours: gone, not now, or refused; an edit that changes nothing is done."""

from collections.abc import Awaitable, Callable

import pytest
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError, TimedOut

from bot.delivery import _translated
from bot.errors import ChatGone, DeliveryError, MessageGone, NotNow
from bot.messenger import patiently


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Forbidden("bot was blocked by the user"), ChatGone),
        (ChatMigrated(-100), ChatGone),
        (BadRequest("Chat not found"), ChatGone),
        (BadRequest("Message to edit not found"), MessageGone),
        (BadRequest("Message is too long"), DeliveryError),
        (TimedOut(), NotNow),
        (TelegramError("?"), DeliveryError),
    ],
)
def test_errors_are_translated(error: TelegramError, expected: type[DeliveryError]) -> None:
    with pytest.raises(DeliveryError) as caught, _translated():
        raise error
    assert type(caught.value) is expected


def test_an_edit_that_changes_nothing_is_done() -> None:
    with _translated():
        raise BadRequest("Message is not modified: specified new message content is exactly the same")


def test_the_wait_that_telegram_asks_for_is_kept() -> None:
    with pytest.raises(NotNow) as caught, _translated():
        raise RetryAfter(17)
    assert caught.value.seconds == 17


def failing(times: int, error: DeliveryError) -> Callable[[], Awaitable[str]]:
    left = [error] * times

    async def action() -> str:
        if left:
            raise left.pop()
        return "shown"

    return action


async def test_patience_waits_out_what_passes_and_not_what_is_final() -> None:
    assert await patiently(failing(3, NotNow("later", seconds=0.01))) == "shown"
    with pytest.raises(ChatGone):
        await patiently(failing(1, ChatGone("gone")))
