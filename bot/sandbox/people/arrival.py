"""How people come into the group: they join, say yes to the bot's question, and may have been known for long.

Knows the bot's question by its button. Knows nothing of tastes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from bot.sandbox.patience import while_moving
from bot.sandbox.people.screen import CONSENT, finished_answer
from bot.sandbox.world.records import Chat, Person, SeenMessage
from bot.sandbox.world.world import World


async def opt_in(world: World, chat: Chat, people: Sequence[Person]) -> int:
    """Everybody enters; one says /start, and all press the yes under the answer. Returns how many could.

    Raises:
        Standstill: the bot does not ask.
    """
    for person in people:
        world.join(person, chat)
    asked = world.say(people[0], chat, f"/start@{world.bot.username}")
    question = await while_moving(world, lambda: _question(world, asked), still="The bot has not asked for consent")
    button = question.button(CONSENT)
    assert button is not None and button.callback_data is not None, "the question has been found by its button"
    data = button.callback_data
    return sum(await asyncio.gather(*(_press(world, person, question, data) for person in people)))


async def meet(world: World, chat: Chat, people: Sequence[Person], *, ago: timedelta) -> None:
    """Let the bot have known people for so long: it counts their tenure from their first reaction.

    Somebody else asks for a text, everybody reacts to it with a date that lies back, and takes that back now.

    Raises:
        Standstill: the text does not come.
    """
    host = world.add_person("Host")
    for person in (host, *people):
        world.join(person, chat)
    asked = world.say(host, chat, "/title old friends")
    text = await while_moving(world, lambda: finished_answer(world, asked), still="No text has come")
    with _back(world, ago):
        for person in people:
            world.react(person, text, ["👍"])
    for person in people:
        world.react(person, text, [])


@contextmanager
def _back(world: World, ago: timedelta) -> Iterator[None]:
    """The world's clock put back; what is done within must not wait for anything."""
    clock = world.state.clock
    world.state.clock = lambda: clock() - ago
    try:
        yield
    finally:
        world.state.clock = clock


def _question(world: World, asked: SeenMessage) -> SeenMessage | None:
    return next((each for each in world.answers(asked) if each.button(CONSENT)), None)


async def _press(world: World, person: Person, question: SeenMessage, data: str) -> bool:
    return await world.press(person, question, data) is not None
