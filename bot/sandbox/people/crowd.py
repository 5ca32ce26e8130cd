"""A simulated audience that uses the bot in a group: opts in, prompts, reads, reacts, presses buttons.

Knows the order of an evening; what one person does with one text is in `rating`. Deterministic for a seed, except for
what the bot writes and the order in which things happen at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

from bot.sandbox.patience import while_moving
from bot.sandbox.people import arrival
from bot.sandbox.people.evenings import Evening, Rated, summary
from bot.sandbox.people.judges import Judge, Temper, make_judges, name_for, turned
from bot.sandbox.people.rating import rate, want_another
from bot.sandbox.people.screen import Shown, finished_answer
from bot.sandbox.people.tastes import Taste
from bot.sandbox.people.topics import KINDS, TOPICS, Asked
from bot.sandbox.world.errors import Standstill
from bot.sandbox.world.records import Chat, Person, SeenMessage
from bot.sandbox.world.world import World

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
            await arrival.meet(self._world, self._chat, people, ago=known_for)
        return await arrival.opt_in(self._world, self._chat, people)

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
