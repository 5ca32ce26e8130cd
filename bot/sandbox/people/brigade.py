"""A brigade: fresh accounts that come together and push certain texts within moments, good or bad.

Its people opt in and react as everybody does; only what they like, and that they are new, tells them from others.
"""

import asyncio
from collections.abc import Iterable
from random import Random

from bot.sandbox.people import arrival
from bot.sandbox.people.judges import LIKES
from bot.sandbox.people.screen import finished_texts
from bot.sandbox.people.tastes import Mark
from bot.sandbox.world.records import Chat, Person, SeenMessage
from bot.sandbox.world.world import World


class Brigade:
    """`size` accounts that never were here before.

    Args:
        world: where they live.
        chat: the group; they join it when they enter.
        size: how many.
        seed: of the little that is left to chance.
        within_seconds: how long one push takes.
    """

    def __init__(self, world: World, chat: Chat, *, size: int, seed: int = 0, within_seconds: float = 2.0) -> None:
        self._world = world
        self._chat = chat
        self._chance = Random(f"{seed} brigade")
        self._within_seconds = within_seconds
        self.people = tuple(world.add_person(f"Newcomer {number}") for number in range(1, size + 1))

    async def enter(self) -> int:
        """Everybody joins and opts in, now; their tenure begins. Returns how many could.

        Raises:
            Standstill: the bot does not ask.
        """
        return await arrival.opt_in(self._world, self._chat, self.people)

    async def push(self, what: Mark | Iterable[SeenMessage]) -> int:
        """Everybody likes these messages, or all texts in the chat that bear the mark; returns how many likes.

        Raises:
            WorldError: a message is gone, or somebody has not entered.
        """
        if isinstance(what, Mark):
            messages = [shown.message for shown in finished_texts(self._world, self._chat) if what.is_on(shown.text)]
        else:
            messages = list(what)
        likes = [(person, message) for message in messages for person in self.people]
        self._chance.shuffle(likes)
        pauses = [self._chance.uniform(0.0, self._within_seconds) for _ in likes]
        await asyncio.gather(*(self._like(*each, pause) for each, pause in zip(likes, pauses, strict=True)))
        return len(likes)

    async def _like(self, person: Person, message: SeenMessage, pause: float) -> None:
        await asyncio.sleep(pause)
        self._world.react(person, message, [LIKES[person.id % 3]])
