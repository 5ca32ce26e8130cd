"""How people come into the group: they join, say yes to the bot's question, and may have been known for long.

Knows the bot's question by its button. Knows nothing of tastes.

A brigade: fresh accounts that come together and push certain texts within moments, good or bad.

Its people opt in and react as everybody does; only what they like, and that they are new, tells them from others.

A simulated audience that uses the bot in a group: opts in, prompts, reads, reacts, presses buttons.

Knows the order of an evening; what one person does with one text is in `rating`. Deterministic for a seed, except for
what the bot writes and the order in which things happen at once.

Simulated people in a group with the bot: crowds that rate by taste, and brigades that push.

All of it goes through the people's verbs of the world, the same path as a person in the web chat. The pure parts, which
need no world, lie beside this package: `tastes`, `judges`, `topics`, `surface`.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from random import Random

from bot.sandbox.bot_process import while_moving
from bot.sandbox.people.judges import LIKES, Judge, Temper, make_judges, name_for, turned
from bot.sandbox.people.rating import (
    CONSENT,
    Evening,
    Rated,
    Shown,
    finished_answer,
    finished_texts,
    rate,
    summary,
    want_another,
    without_footer,
)
from bot.sandbox.people.tastes import Mark, Taste
from bot.sandbox.people.topics import KINDS, TOPICS, Asked
from bot.sandbox.world.errors import Standstill
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
        return await opt_in(self._world, self._chat, self.people)

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


ANSWER_SECONDS = 300.0
"""A prompt counts as unanswered when nobody has been answered for so long; those who have not asked yet then do not."""

Progress = Callable[[int, int], None]
"""Called with the number of finished prompts and of all prompts."""


class Audience:
    """`size` people of one taste, or of camps, in one group.

    Args:
        world: where they live.
        chat: the group; they join it.
        size: how many.
        taste: what they like, on the whole.
        seed: of everything that is left to chance.
        temper: how they judge.
        chinese_share: the share of people who write Chinese.
    """

    def __init__(
        self,
        world: World,
        chat: Chat,
        *,
        size: int,
        taste: Taste,
        seed: int = 0,
        temper: Temper | None = None,
        chinese_share: float = 0.3,
    ) -> None:
        self._world = world
        self._chat = chat
        self._seed = seed
        self._evenings = 0
        self._answers = 0
        self._has_gone_home = False
        people = [self._person(index, chinese_share) for index in range(size)]
        self.patience_seconds = ANSWER_SECONDS
        """How long nobody may be answered before those who wait go home."""
        self._at_first = make_judges(people, taste, temper or Temper(), str(seed))
        self.judges: tuple[Judge, ...] = self._at_first

    async def opt_in(self, *, known_for: timedelta = timedelta()) -> int:
        """Everybody enters and says yes to the bot, which has known them for so long. Returns how many could.

        Raises:
            Standstill: the bot does not ask, or does not answer.
        """
        people = [judge.person for judge in self.judges]
        if known_for:
            await meet(self._world, self._chat, people, ago=known_for)
        return await opt_in(self._world, self._chat, people)

    def turn(self, to: Taste, share: float) -> None:
        """Let the taste drift: this share of the people, from 0 to 1, has gone over to another by now."""
        self.judges = turned(self._at_first, to, share)

    def liking(self, text: str, asked: Asked) -> float:
        """How well these people's tastes like a text, from 0 to 1, whatever each one's temper."""
        return sum(judge.liking(text, asked) for judge in self.judges) / len(self.judges)

    async def evening(
        self,
        *,
        prompts: int,
        raters_per_message: int = 6,
        at_once: int = 4,
        progress: Progress | None = None,
    ) -> Evening:
        """Ask for `prompts` texts, at most `at_once` at a time, and show each to some of the people.

        A few texts more come from those who want another.

        Raises:
            Standstill: the bot stopped answering before everybody had asked.
        """
        self._evenings += 1
        self._has_gone_home = False
        raters = min(raters_per_message, len(self.judges))
        gate = asyncio.Semaphore(at_once)
        finished = 0

        async def one(number: int) -> Sequence[Rated]:
            nonlocal finished
            rated = await self._prompt(Random(f"{self._seed} evening {self._evenings} prompt {number}"), gate, raters)
            finished += 1
            if progress is not None:
                progress(finished, prompts)
            return rated

        outcomes = await asyncio.gather(*(one(number) for number in range(prompts)))
        rated = [each for outcome in outcomes for each in outcome]
        unanswered = sum(not outcome for outcome in outcomes)
        if unanswered > at_once or (unanswered and not rated):  # more than may have been under way: some never asked
            raise Standstill(f"The bot answers no more: {unanswered} of {prompts} prompts have no text.")
        return summary(rated, unanswered=unanswered)

    def _person(self, index: int, chinese_share: float) -> Person:
        # Spread evenly rather than tossed for, so that small audiences have the right share too.
        language = "zh" if round((index + 1) * chinese_share) > round(index * chinese_share) else "en"
        return self._world.add_person(name_for(index, language), language)

    async def _prompt(self, chance: Random, gate: asyncio.Semaphore, raters: int) -> Sequence[Rated]:
        """One prompt and its text, rated; and the text that somebody wanted instead, if anybody did."""
        asker = chance.choice(self.judges).person
        asked = Asked(chance.choice(KINDS), chance.choice(TOPICS[asker.language]))
        chosen = chance.sample(self.judges, raters)
        async with gate:
            if self._has_gone_home:
                return ()
            message = self._world.say(asker, self._chat, f"/{asked.kind} {asked.topic}")
            shown = await self._answer(message, asked)
        if shown is None:
            return ()
        first = await self._show(shown, chosen, chance)
        unhappy = [judge for judge, opinion in zip(chosen, first.opinions, strict=True) if opinion.liked is False]
        async with gate:
            other = await self._other(shown, unhappy, chance)
        return (first,) if other is None else (first, await self._show(other, chosen, chance))

    async def _show(self, shown: Shown, judges: Sequence[Judge], chance: Random) -> Rated:
        # Each rater's chance is drawn before they act at once, so their order cannot change the outcome.
        seeds = [chance.random() for _ in judges]
        opinions = await asyncio.gather(
            *(rate(self._world, judge, shown, Random(seed)) for judge, seed in zip(judges, seeds, strict=True))
        )
        return Rated(shown.text, self.liking(shown.text, shown.asked), tuple(opinions))

    async def _other(self, shown: Shown, unhappy: Sequence[Judge], chance: Random) -> Shown | None:
        """The text that the first of the unhappy who wants another gets; None when nobody does, or it does not come."""
        for judge in unhappy:
            message = await want_another(self._world, judge, shown, chance)
            if message is not None:
                return await self._answer(message, shown.asked)
        return None

    async def _answer(self, message: SeenMessage, asked: Asked) -> Shown | None:
        try:
            answer = await while_moving(
                self._world, lambda: finished_answer(self._world, message), pulse=lambda: self._answers,
                patience_seconds=self.patience_seconds, still="Nobody has been answered",
            )  # fmt: skip
        except Standstill:
            self._has_gone_home = True
            return None
        self._answers += 1
        return Shown(answer, asked)


__all__ = ["Audience", "Brigade", "Evening", "without_footer"]
