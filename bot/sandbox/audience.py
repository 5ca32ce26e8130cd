"""A simulated audience that uses the bot in a group: opts in, prompts, reads, reacts, presses buttons.

All of it goes through the people's verbs of the world, the same path as a person in the web chat. Knows a generation
only by what is on the screen: a reply with rating buttons whose last paragraph is the footer.
Deterministic for a seed, except for what the bot writes and the order in which things happen at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bot.sandbox.errors import WorldError
from bot.sandbox.judges import Judge, Temper, make_judge, name_for
from bot.sandbox.records import Chat, SeenMessage
from bot.sandbox.tastes import Taste
from bot.sandbox.topics import KINDS, TOPICS
from bot.sandbox.world import World

LIKE_BUTTON, DISLIKE_BUTTON, CONSENT_BUTTON = "up:", "down:", "optin"

ANSWER_SECONDS = 120.0
"""A prompt that has no finished answer by then counts as unanswered."""
CONSENT_SECONDS = 120.0
LONGEST_PAUSE_SECONDS = 0.4
"""People look at a text for up to this long before they react; short, since an evening should pass quickly."""

Progress = Callable[[int, int], None]
"""Called with the number of finished prompts and of all prompts."""


@dataclass(frozen=True, slots=True)
class Rated:
    """One generation and what became of it; `liking` is the hidden share of people who like such a text."""

    text: str
    liking: float
    likes: int
    dislikes: int


@dataclass(frozen=True, slots=True)
class Evening:
    """What an evening came to."""

    generations: int
    likes: int
    dislikes: int
    true_liking: float
    """The mean hidden liking of the texts, from 0 to 1; 0 when there were none."""
    unanswered: int

    @property
    def satisfaction(self) -> float:
        """Likes among all ratings, from 0 to 1; 0 when nobody rated."""
        return self.likes / (self.likes + self.dislikes) if self.likes + self.dislikes else 0.0


class Audience:
    """`size` people of one taste in one group.

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
        self.judges: tuple[Judge, ...] = tuple(
            self._make(index, taste, temper or Temper(), chinese_share) for index in range(size)
        )

    async def opt_in(self) -> int:
        """Everybody enters; one says /start, and all press the yes under the answer. Returns how many could.

        Raises:
            TimeoutError: the bot does not ask.
        """
        for judge in self.judges:
            self._world.join(judge.person, self._chat)
        first = self.judges[0].person
        asked = self._world.say(first, self._chat, f"/start@{self._world.bot.username}")
        question = await self._world.until(lambda: self._question(asked), CONSENT_SECONDS)
        pressed = await asyncio.gather(*(self._consent(judge, question) for judge in self.judges))
        return sum(pressed)

    async def evening(
        self,
        *,
        prompts: int,
        raters_per_message: int = 6,
        at_once: int = 4,
        progress: Progress | None = None,
    ) -> Evening:
        """Ask for `prompts` texts, at most `at_once` at a time, and show each to some of the people.

        Raises:
            TimeoutError: not one prompt was answered.
        """
        self._evenings += 1
        gate = asyncio.Semaphore(at_once)
        finished = 0

        async def one(number: int) -> Rated | None:
            nonlocal finished
            async with gate:
                rated = await self._ask_and_rate(self._chance(f"prompt {number}"), raters_per_message)
            finished += 1
            if progress is not None:
                progress(finished, prompts)
            return rated

        outcomes = await asyncio.gather(*(one(number) for number in range(prompts)))
        rated = [each for each in outcomes if each is not None]
        if prompts and not rated:
            raise TimeoutError(f"none of {prompts} prompts was answered within {ANSWER_SECONDS:.0f} s")
        return _summary(rated, unanswered=prompts - len(rated))

    def _make(self, index: int, taste: Taste, temper: Temper, chinese_share: float) -> Judge:
        chance = Random(f"{self._seed} person {index}")
        # Spread evenly rather than tossed for, so that small audiences have the right share too.
        language = "zh" if round((index + 1) * chinese_share) > round(index * chinese_share) else "en"
        person = self._world.add_person(name_for(index, language), language)
        return make_judge(person, taste, temper, chance)

    def _chance(self, what: str) -> Random:
        return Random(f"{self._seed} evening {self._evenings} {what}")

    def _question(self, asked: SeenMessage) -> SeenMessage | None:
        return next((each for each in self._world.answers(asked) if each.button(CONSENT_BUTTON)), None)

    async def _consent(self, judge: Judge, question: SeenMessage) -> bool:
        button = question.button(CONSENT_BUTTON)
        assert button is not None, "the question has been found by its button"
        return await self._world.press(judge.person, question, button.callback_data or "") is not None

    async def _ask_and_rate(self, chance: Random, raters: int) -> Rated | None:
        asker = chance.choice(self.judges)
        language = asker.person.language
        kind, topic = chance.choice(KINDS), chance.choice(TOPICS[language])
        asked = self._world.say(asker.person, self._chat, f"/{kind} {topic}")
        try:
            answer = await self._world.until(lambda: self._finished(asked), ANSWER_SECONDS)
        except TimeoutError:
            return None
        text = without_footer(answer.text)
        chosen = chance.sample(self.judges, min(raters, len(self.judges)))
        # Each rater's chance is drawn before they act at once, so their order cannot change the outcome.
        seeds = [chance.random() for _ in chosen]
        opinions = await asyncio.gather(
            *(self._rate(judge, answer, text, Random(seed)) for judge, seed in zip(chosen, seeds, strict=True))
        )
        liking = chosen[0].taste.liking(text) if chosen else 0.0
        return Rated(text, liking, opinions.count(True), opinions.count(False))

    def _finished(self, asked: SeenMessage) -> SeenMessage | None:
        answers = self._world.answers(asked)
        return next((answer for answer in answers if answer.button(LIKE_BUTTON)), None)

    async def _rate(self, judge: Judge, answer: SeenMessage, text: str, chance: Random) -> bool | None:
        """React or press; None when the person keeps silent."""
        await asyncio.sleep(chance.uniform(0.0, LONGEST_PAUSE_SECONDS))
        if judge.is_silent(chance):
            return None
        liked = judge.likes(text, chance)
        button = answer.button(LIKE_BUTTON if liked else DISLIKE_BUTTON)
        try:
            if button is not None and judge.prefers_buttons(chance):
                await self._world.press(judge.person, answer, button.callback_data or "")
            else:
                self._world.react(judge.person, answer, [judge.emoji(liked=liked, chance=chance)])
        except WorldError:
            return None  # the message is gone: nothing left to rate
        return liked


def without_footer(text: str) -> str:
    """The generation without its last paragraph, which holds label, version and id."""
    return text.rpartition("\n\n")[0] or text


def _summary(rated: Sequence[Rated], *, unanswered: int) -> Evening:
    return Evening(
        generations=len(rated),
        likes=sum(each.likes for each in rated),
        dislikes=sum(each.dislikes for each in rated),
        true_liking=sum(each.liking for each in rated) / len(rated) if rated else 0.0,
        unanswered=unanswered,
    )
