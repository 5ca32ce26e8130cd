"""/check alone: what arrives is shown at once, and what does not arrive gets the advice that fits the chat."""

import asyncio

import pytest

from bot.common.errors import Refusal
from bot.common.timing import Timing
from bot.feedback.reaction_test import ReactionTest
from bot.messaging.messenger import Address, Keyboard, ReactionAccess, Urgency

ALL = ReactionAccess(is_admin=True, reactions=None)


class Chat:
    """A border to Telegram with one message in it."""

    def __init__(self) -> None:
        self.text = ""
        self.buttons: Keyboard = ()
        self.number = 0

    async def send(self, to: Address, text: str, buttons: Keyboard = ()) -> int:
        self.number += 1
        return self.number

    async def edit(
        self, chat_id: int, message_id: int, text: str, buttons: Keyboard = (), *, urgency: Urgency = Urgency.FINAL
    ) -> None:
        if message_id == self.number:
            self.text, self.buttons = text, buttons

    async def shows(self, words: str) -> None:
        async with asyncio.timeout(60):
            while words not in self.text:
                await asyncio.sleep(0.01)


def a_check(chat: Chat, reaction_access: ReactionAccess = ALL, *, patience_seconds: float = 30.0) -> ReactionTest:
    async def look(chat_id: int) -> ReactionAccess:
        return reaction_access

    return ReactionTest(messenger=chat, reaction_access=look, timing=Timing(reaction_test=patience_seconds))  # type: ignore[arg-type]


async def test_each_is_shown_as_it_arrives_and_then_the_test_is_over() -> None:
    chat = Chat()
    check = a_check(chat)
    await check.begin(Address(chat_id=-5), "en")
    await chat.shows("A test")
    assert not check.reacted(chat_id=-5, message_id=99) and not check.reacted(chat_id=-6, message_id=1)
    assert check.reacted(chat_id=-5, message_id=1)
    await chat.shows("Reactions: ✅ arrived")
    assert "Buttons: ⏳" in chat.text and chat.buttons
    check.pressed(chat_id=-5, message_id=1)
    await chat.shows("All is well")
    assert not chat.buttons
    await asyncio.sleep(0)
    with pytest.raises(Refusal):
        check.pressed(chat_id=-5, message_id=1)


async def test_a_second_test_in_a_chat_ends_the_first() -> None:
    chat = Chat()
    check = a_check(chat)
    await check.begin(Address(chat_id=-5), "en")
    await check.begin(Address(chat_id=-5), "en")
    assert not check.reacted(chat_id=-5, message_id=1) and check.reacted(chat_id=-5, message_id=2)
    await chat.shows("Reactions: ✅ arrived")
    await check.close()


@pytest.mark.parametrize(
    ("chat_id", "access", "words"),
    [
        (5, ReactionAccess(is_admin=False, reactions=None), "private chats"),
        (-5, ReactionAccess(is_admin=False, reactions=None), "I am not an administrator here"),
        (-5, ALL, "I am an administrator here"),
        (-5, ReactionAccess(is_admin=True, reactions=()), "turned off"),
        (-5, ReactionAccess(is_admin=True, reactions=("🔥", "🤔")), "none tells me that a text is disliked"),
        (-5, ReactionAccess(is_admin=True, reactions=("💩",)), "none tells me that a text is liked"),
        (-5, ReactionAccess(is_admin=True, reactions=("🤔",)), "none tells me whether a text is liked"),
    ],
)
async def test_what_is_missing_gets_the_advice_that_fits(chat_id: int, access: ReactionAccess, words: str) -> None:
    chat = Chat()
    check = a_check(chat, access, patience_seconds=0.0)
    await check.begin(Address(chat_id=chat_id), "en")
    await chat.shows(words)
    assert chat.buttons, "it goes on waiting"
    assert check.reacted(chat_id=chat_id, message_id=1)
    await chat.shows("Now press the button")
    await check.close()
