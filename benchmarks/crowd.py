"""A crowd that prompts and rates without a pause, and the reckoning of what became of it.

People act in the stand-in for Telegram as people do; the reckoning compares what they see, and what the bot exports,
with what they did. Used by the soak runs and by
the tests under faults.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.tables import Row
from bot.reporting.export import What, lines
from bot.sandbox.bot_process import BotChild
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, Person, SeenMessage
from engine.data.rewards import value_of_reactions
from storage.db.database import open_for_reading

EMOJIS = ("👍", "👎", "🔥", "💩", "❤", "🥱")
KINDS = ("slogan", "title", "poem", "write")

LOOK_SECONDS = 0.2
"""How often the crowd sees which of its prompts have been answered."""


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

    def rows(self, name: str) -> list[Row]:
        """As rows of a table."""
        answered = f"{self.prompts}, {self.lost}, {self.answered_twice}"
        return [
            (f"{name}: prompts, lost and answered twice", answered, "–, 0, 0"),
            ("… ratings that stand, and wrong ones", f"{self.ratings}, {self.wrong_ratings}", "–, 0"),
        ]


@dataclass(slots=True)
class Crowd:
    """People in private chats, and every eighth in a group. `act` lets them do things, `reckon` waits and counts."""

    sandbox: Sandbox
    size: int
    seed: int
    groups: int = 1
    people: list[tuple[Person, Chat]] = field(init=False)
    asked: list[SeenMessage] = field(default_factory=list)
    waiting: list[SeenMessage] = field(default_factory=list)
    """What was asked and not answered when somebody looked last."""
    reactions: int = 0
    """How many reactions the bot has to hear of."""
    _texts: dict[int, list[SeenMessage]] = field(default_factory=dict)
    """For each chat, the finished texts."""
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Everybody arrives."""
        self._rng = random.Random(self.seed)
        world = self.sandbox.world
        groups = [world.add_group(f"Crowd {number}", bot_admin=True) for number in range(self.groups)]
        self.people = []
        for number in range(self.size):
            person = world.add_person(f"Person {number}", self._rng.choice(["en", "zh"]))
            group = groups[number // 8 % self.groups]
            world.join(person, group)
            self.people.append((person, group if number % 8 == 0 else world.private_chat(person)))

    def prompt(self) -> None:
        """Somebody asks for something."""
        person, chat = self._rng.choice(self.people)
        text = f"/{self._rng.choice(KINDS)} topic {len(self.asked)}"
        asked = self.sandbox.world.say(person, chat, text)
        self.asked.append(asked)
        self.waiting.append(asked)

    def react(self) -> None:
        """Somebody reacts, changes their mind, or takes a reaction back, on a finished text of their chat."""
        person, chat = self._rng.choice(self.people)
        texts = self._texts.get(chat.id)
        if texts:
            emojis = self._rng.sample(EMOJIS, 1) if self._rng.random() < 0.8 else []
            before = self.sandbox.world.current(self._rng.choice(texts[-20:]))
            self.reactions += self.sandbox.world.react(person, before, emojis) is not before

    def look(self) -> int:
        """See which prompts have been answered since the last look; how many."""
        still = []
        for asked in self.waiting:
            answers = self._finished(asked)
            self._texts.setdefault(asked.chat.id, []).extend(answers)
            if not answers:
                still.append(asked)
        answered = len(self.waiting) - len(still)
        self.waiting = still
        return answered

    async def act(self, *, prompts_per_second: float, reactions_per_second: float) -> None:
        """Prompt and react at random moments until cancelled."""

        async def again(do: Callable[[], object], rate: float) -> None:
            due = time.monotonic()
            while True:
                due += self._rng.expovariate(rate)
                await asyncio.sleep(due - time.monotonic())
                do()

        async def keep_looking() -> None:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self.look()

        async with asyncio.TaskGroup() as group:
            group.create_task(again(self.prompt, prompts_per_second))
            group.create_task(again(self.react, reactions_per_second))
            group.create_task(keep_looking())

    async def rated(self, ratings: int, *, seconds: float) -> None:
        """Wait until so many ratings stand, while others `act`; TimeoutError when it takes longer than that."""
        async with asyncio.timeout(seconds):
            while len(self._expected()) < ratings:
                await asyncio.sleep(LOOK_SECONDS)

    async def settle(self, *, seconds: float) -> bool:
        """Wait until everything is answered and every update taken, at most so long; whether it came to that."""
        deadline = time.monotonic() + seconds
        while self.waiting or self.sandbox.world.updates.pending:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
        return True

    async def reckon(self, bot: BotChild, *, seconds: float) -> Toll:
        """Wait until everything is answered and every update taken, at most so long, then count."""
        await self.settle(seconds=seconds)  # the counts tell
        stored = await self._stored(bot)
        answers = [self._finished(asked) for asked in self.asked]
        world = self.sandbox.world
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
            rows = [json.loads(line) for line in lines(connection, What.RATINGS, producer="")]
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
