"""A crowd that prompts and rates without a pause, and the reckoning of what became of it.

People act in the stand-in for Telegram as people do; the reckoning compares what they see, and what the bot exports,
with what they did. Knows the world and the bot's export, nothing of how the bot works. Used by the soak runs and by
the tests under faults.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.export import What, lines
from bot.sandbox.child import BotChild
from bot.sandbox.records import Chat, Person, SeenMessage
from bot.sandbox.server import Sandbox
from engine.reward import value_of_reactions
from storage.database import open_for_reading

EMOJIS = ("👍", "👎", "🔥", "💩", "❤", "🥱")
KINDS = ("slogan", "title", "poem", "write")


@dataclass(frozen=True, slots=True)
class Toll:
    """What went wrong; all zeros is what is promised. `placeholders` may double in a crash and is no fault."""

    prompts: int
    ratings: int
    lost: int
    answered_twice: int
    wrong_ratings: int
    placeholders: int

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing doubled, every rating right."""
        return not (self.lost or self.answered_twice or self.wrong_ratings)


@dataclass(slots=True)
class Crowd:
    """People in private chats and in one group. `act` does one thing, `reckon` waits for the end and counts."""

    sandbox: Sandbox
    size: int
    seed: int
    people: list[tuple[Person, Chat]] = field(init=False)
    asked: list[SeenMessage] = field(default_factory=list)
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Everybody arrives."""
        self._rng = random.Random(self.seed)
        world = self.sandbox.world
        group = world.add_group("The crowd", bot_admin=True)
        self.people = []
        for number in range(self.size):
            person = world.add_person(f"Person {number}", self._rng.choice(["en", "zh"]))
            world.join(person, group)
            self.people.append((person, group if number % 8 == 0 else world.private_chat(person)))

    def prompt(self) -> None:
        """Somebody asks for something."""
        person, chat = self._rng.choice(self.people)
        text = f"/{self._rng.choice(KINDS)} topic {len(self.asked)}"
        self.asked.append(self.sandbox.world.say(person, chat, text))

    def react(self) -> None:
        """Somebody reacts, changes their mind, or takes a reaction back, on a finished text of their chat."""
        person, chat = self._rng.choice(self.people)
        finished = [message for message in self.sandbox.world.messages(chat) if message.button("up:")]
        if finished:
            emojis = self._rng.sample(EMOJIS, 1) if self._rng.random() < 0.8 else []
            self.sandbox.world.react(person, self._rng.choice(finished[-20:]), emojis)

    async def act(self, *, prompts_per_second: float, reactions_per_second: float) -> None:
        """Prompt and react at random moments until cancelled."""

        async def again(do: Callable[[], None], rate: float) -> None:
            while True:
                await asyncio.sleep(self._rng.expovariate(rate))
                do()

        async with asyncio.TaskGroup() as group:
            group.create_task(again(self.prompt, prompts_per_second))
            group.create_task(again(self.react, reactions_per_second))

    async def reckon(self, bot: BotChild, *, seconds: float) -> Toll:
        """Wait until everything is answered and every update taken, at most so long, then count."""
        world = self.sandbox.world

        def is_quiet() -> bool:
            return not world.updates.pending and all(self._finished(asked) for asked in self.asked)

        with contextlib.suppress(TimeoutError):  # the counts tell
            await world.until(is_quiet, seconds)
        stored = await self._stored(bot)
        answers = [self._finished(asked) for asked in self.asked]
        orphans = sum(len([a for a in world.answers(asked) if a.button("stop:")]) for asked in self.asked)
        return Toll(
            prompts=len(self.asked),
            ratings=len(stored),
            lost=sum(not each for each in answers),
            answered_twice=sum(len(each) > 1 for each in answers),
            wrong_ratings=len(self._expected() ^ stored),
            placeholders=orphans,
        )

    def _finished(self, asked: SeenMessage) -> list[SeenMessage]:
        return [answer for answer in self.sandbox.world.answers(asked) if answer.button("up:")]

    def _expected(self) -> frozenset[tuple[int, float, str]]:
        """What stands on the messages: (generation, value, emoji) for each person and text."""
        standing = []
        for asked in self.asked:
            for answer in self._finished(asked):
                button = answer.button("up:")
                assert button is not None and button.callback_data is not None
                generation = int(button.callback_data.removeprefix("up:"))
                for reacted in answer.reactions:
                    value = value_of_reactions(reacted.emojis)
                    if value is not None:
                        standing.append((generation, value, "".join(reacted.emojis)))
        return _numbered(standing)

    async def _stored(self, bot: BotChild) -> frozenset[tuple[int, float, str]]:
        """What the bot exports, once it has stopped changing."""
        before, now = None, self._read(bot)
        while now != before:
            await asyncio.sleep(1.0)
            before, now = now, self._read(bot)
        return now

    @staticmethod
    def _read(bot: BotChild) -> frozenset[tuple[int, float, str]]:
        connection = open_for_reading(bot.folder / "data" / "ovation.db")
        try:
            rows = [json.loads(line) for line in lines(connection, What.RATINGS)]
        finally:
            connection.close()
        return _numbered([(row["generation"], row["value"], row["emoji"]) for row in rows])


def _numbered(rows: list[tuple[int, float, str]]) -> frozenset[tuple[int, float, str]]:
    """A set of rows in which equal rows of several people stay apart."""
    seen: dict[tuple[int, float, str], int] = {}
    numbered = set()
    for row in rows:
        seen[row] = seen.get(row, 0) + 1
        numbered.add((row[0], row[1], f"{row[2]} {seen[row]}"))
    return frozenset(numbered)
