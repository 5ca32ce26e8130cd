"""/check without a text: does what people do reach the bot? A message asks for a reaction and a press and shows each as
it arrives; while a reaction is missing, it says after a while what may keep it away.

The message is known here before it asks for anything, so nobody is faster than that, and nothing on it is a rating.
One test a chat, in memory: a restart ends it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bot.common.errors import DeliveryError, Refusal
from bot.common.i18n import say
from bot.common.tasks import cancel
from bot.common.timing import USUAL, Timing
from bot.messaging.messenger import Address, Messenger, ReactionAccess, reaction_test_button, with_retries
from engine.data.rewards import REACTION_VALUES, value_of_reactions

logger = logging.getLogger(__name__)

OPEN_SECONDS = 600.0
"""A test ends after so long."""


@dataclass(slots=True)
class _Test:
    chat_id: int
    message_id: int
    language: str
    is_reacted: bool = False
    is_pressed: bool = False
    is_late: bool = False
    """Something is missing longer than people need for it."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_passed(self) -> bool:
        return self.is_reacted and self.is_pressed


@dataclass(kw_only=True)
class ReactionTest:
    """Runs the tests."""

    messenger: Messenger
    reaction_access: Callable[[int], Awaitable[ReactionAccess]]
    """What of a chat's reactions reaches the bot."""
    reaction_values: Mapping[str, float | None] = field(default_factory=lambda: REACTION_VALUES)
    timing: Timing = USUAL
    _tests: dict[int, tuple[_Test, asyncio.Task[None]]] = field(default_factory=dict, init=False)
    """By chat."""

    async def begin(self, to: Address, language: str) -> None:
        """Begin a test; an earlier one in the chat is over."""
        message_id = await with_retries(lambda: self.messenger.send(to, say(language, "confirm-heard")))
        test = _Test(to.chat_id, message_id, language)
        task = asyncio.create_task(self._run(test), name=f"reaction test in message {message_id}")
        _, earlier = self._tests.get(to.chat_id, (None, None))
        self._tests[to.chat_id] = (test, task)
        if earlier is not None:
            earlier.cancel()

    def reacted(self, *, chat_id: int, message_id: int) -> bool:
        """A reaction has come; True when it is on the message of a test."""
        test = self._find(chat_id, message_id)
        if test is not None:
            test.is_reacted = True
            test.news.set()
        return test is not None

    def pressed(self, *, chat_id: int, message_id: int) -> None:
        """The button was pressed.

        Raises:
            Refusal: the test is over.
        """
        test = self._find(chat_id, message_id)
        if test is None:
            raise Refusal("check-live-over")
        test.is_pressed = True
        test.news.set()

    async def close(self) -> None:
        """End every test."""
        await cancel(*(task for _, task in self._tests.values()))

    def _find(self, chat_id: int, message_id: int) -> _Test | None:
        test, _ = self._tests.get(chat_id, (None, None))
        return test if test is not None and test.message_id == message_id else None

    async def _run(self, test: _Test) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timing.reaction_test):
                    return await self._until_passed(test)
            test.is_late = True  # from now on with advice
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPEN_SECONDS - self.timing.reaction_test):
                    return await self._until_passed(test)
            await self._show(test, is_open=False)
        except DeliveryError as error:
            logger.info("a reaction test breaks off: %s", error)
        finally:
            if self._find(test.chat_id, test.message_id) is test:
                del self._tests[test.chat_id]

    async def _until_passed(self, test: _Test) -> None:
        """Show what has arrived, until everything has."""
        while True:
            test.news.clear()
            await self._show(test)
            if test.is_passed:
                return
            await test.news.wait()

    async def _show(self, test: _Test, *, is_open: bool = True) -> None:
        state = {"reaction": "yes" if test.is_reacted else "no", "press": "yes" if test.is_pressed else "no"}
        words = say(test.language, "check-live", **state)
        if test.is_late or test.is_passed:
            words += f"\n\n{await self._advice(test)}"
        buttons = reaction_test_button(test.language) if is_open and not test.is_passed else ()
        await with_retries(lambda: self.messenger.edit(test.chat_id, test.message_id, words, buttons))

    async def _advice(self, test: _Test) -> str:
        """What is to be done, as far as it can be told."""
        access = await with_retries(lambda: self.reaction_access(test.chat_id))
        if test.is_passed:
            name = "check-live-well"
        elif test.is_reacted:
            name = "check-live-press"
        elif test.chat_id > 0:
            name = "check-live-private"
        elif access.reactions == ():
            name = "check-live-off"
        else:
            name = "check-live-admin" if access.is_admin else "check-live-member"
        parts = [say(test.language, name)]
        if access.reactions and (lacks := self._missing_verdict(access.reactions)):
            parts.append(say(test.language, "check-live-few", lacks=lacks))
        return "\n\n".join(parts)

    def _missing_verdict(self, reactions: tuple[str, ...]) -> str:
        """Which verdict cannot be given by the reactions that a chat allows; "" where both can."""
        values = [value_of_reactions((emoji,), self.reaction_values) or 0.0 for emoji in reactions]
        likes, dislikes = any(value > 0 for value in values), any(value < 0 for value in values)
        if likes and dislikes:
            return ""
        return "dislikes" if likes else "likes" if dislikes else "both"
