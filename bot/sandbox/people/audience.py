"""A simulated audience that uses the bot in a group: opts in, prompts, reads, rates, wants another.

All of it goes through the people's verbs of the world, the same path as a person in the web chat. Deterministic for a
seed, except for what the bot writes and the order in which things happen at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bot.sandbox.people.raters import LIKE, Rater, RaterResponse, ShownText, Temper, make_raters, rate, want_another
from bot.sandbox.people.tastes import KINDS, TOPICS, Asked, Taste
from bot.sandbox.world.errors import NoProgress
from bot.sandbox.world.records import Chat, Person, SeenMessage
from bot.sandbox.world.world import World
from engine.runs.text_metrics import distinct_2, words_of

CONSENT = "optin"
"""How the callback data of the button begins that says yes to the bot."""
ANSWER_SECONDS = 300.0
"""A prompt counts as unanswered when nobody has been answered for so long; those who have not asked yet then do not."""
DIVERSITY_PAIRS = 1000
"""Distinct-2 is of the first so many pairs of words, so that evenings can be compared."""

NAMES = {
    "en": (
        *("Ada", "Ben", "Clara", "Dov", "Edith", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Leo", "Mina"),
        *("Noah", "Olga", "Pablo", "Quinn", "Rosa", "Sami", "Tess", "Uma", "Viktor", "Wanda", "Yusuf", "Zoe"),
    ),
    "zh": ("小雨", "阿明", "晓月", "子涵", "思远", "雅婷", "建国", "志强", "美玲", "文博", "嘉怡", "天宇", "若曦"),
}


@dataclass(frozen=True, slots=True)
class TextOutcome:
    """One text, its hidden liking (the share of people who like such a text), and what those did who were shown it."""

    text: str
    liking: float
    responses: tuple[RaterResponse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evening:
    """What an evening came to."""

    generations: int
    likes: int
    dislikes: int
    silent: int = 0
    """How often somebody was shown a text and kept silent."""
    reasons: int = 0
    """How many dislikes came with a reason."""
    true_liking: float
    """The mean hidden liking of the texts, from 0 to 1; 0 when there were none."""
    distinct_2: float = 0.0
    """Different pairs of neighbouring words over all pairs, of the first thousand."""
    unanswered: int = 0

    @property
    def satisfaction(self) -> float:
        """Likes among all ratings, from 0 to 1; 0 when nobody rated."""
        return self.likes / self.ratings if self.ratings else 0.0

    @property
    def ratings(self) -> int:
        """How many there were."""
        return self.likes + self.dislikes

    @property
    def silence(self) -> float:
        """The share of those shown a text who kept silent, from 0 to 1; 0 when none was shown."""
        shown = self.ratings + self.silent
        return self.silent / shown if shown else 0.0


class Audience:
    """`size` people of one taste, or of camps, in one group.

    Args:
        world: where they live.
        chat: the group; they join it.
        size: how many.
        taste: what they like, on the whole.
        seed: of everything that is left to chance.
        temper: how they rate.
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
        self._has_given_up = False
        self.stall_seconds = ANSWER_SECONDS
        """How long nobody may be answered before those who wait go home."""
        people = [self._person(index, chinese_share) for index in range(size)]
        self.raters = make_raters(people, taste, temper or Temper(), str(seed))

    async def opt_in(self) -> int:
        """Everybody enters; one says /start, and all press the yes under the answer. Returns how many could.

        Raises:
            NoProgress: the bot does not ask.
        """
        world, people = self._world, [rater.person for rater in self.raters]
        for person in people:
            world.join(person, self._chat)
        asked = world.say(people[0], self._chat, f"/start@{world.bot.username}")
        question = await world.until_or_stalled(
            lambda: next((each for each in world.answers(asked) if each.button(CONSENT)), None),
            complaint="The bot has not asked for consent",
        )
        button = question.button(CONSENT)
        assert button is not None, "the question has been found by its button"
        answers = await asyncio.gather(*(world.press(person, question, button.callback_data) for person in people))
        return sum(answer is not None for answer in answers)

    def liking(self, text: str, asked: Asked) -> float:
        """How well these people's tastes like a text, from 0 to 1, whatever each one's temper."""
        return sum(rater.taste.liking(text, asked) for rater in self.raters) / len(self.raters)

    async def evening(
        self,
        *,
        prompts: int,
        raters_per_message: int = 6,
        at_once: int = 4,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Evening:
        """Ask for `prompts` texts, at most `at_once` at a time, and show each to some of the people.

        A few texts more come from those who want another. `progress` is called with the number of finished prompts.

        Raises:
            NoProgress: the bot stopped answering before everybody had asked.
        """
        self._evenings += 1
        self._has_given_up = False
        raters = min(raters_per_message, len(self.raters))
        gate = asyncio.Semaphore(at_once)
        finished = 0

        async def one(number: int) -> Sequence[TextOutcome]:
            nonlocal finished
            rated = await self._prompt(Random(f"{self._seed} evening {self._evenings} prompt {number}"), gate, raters)
            finished += 1
            progress(finished)
            return rated

        outcomes = await asyncio.gather(*(one(number) for number in range(prompts)))
        rated = [each for outcome in outcomes for each in outcome]
        unanswered = sum(not outcome for outcome in outcomes)
        if unanswered > at_once or (unanswered and not rated):  # more than may have been under way: some never asked
            raise NoProgress(f"The bot answers no more: {unanswered} of {prompts} prompts have no text.")
        return summary(rated, unanswered=unanswered)

    def _person(self, index: int, chinese_share: float) -> Person:
        # Spread evenly rather than tossed for, so that small audiences have the right share too.
        language = "zh" if round((index + 1) * chinese_share) > round(index * chinese_share) else "en"
        round_number, place = divmod(index, len(NAMES[language]))
        name = NAMES[language][place]
        return self._world.add_person(f"{name} {round_number + 1}" if round_number else name, language)

    async def _prompt(self, chance: Random, gate: asyncio.Semaphore, raters: int) -> Sequence[TextOutcome]:
        """One prompt and its text, rated; and the text that somebody wanted instead, if anybody did."""
        asker = chance.choice(self.raters).person
        asked = Asked(chance.choice(KINDS), chance.choice(TOPICS[asker.language]))
        chosen = chance.sample(self.raters, raters)
        async with gate:
            if self._has_given_up:
                return ()
            message = self._world.say(asker, self._chat, f"/{asked.kind} {asked.topic}")
            shown = await self._answer(message, asked)
        if shown is None:
            return ()
        first = await self._show(shown, chosen, chance)
        unhappy = [rater for rater, did in zip(chosen, first.responses, strict=True) if did.liked is False]
        async with gate:
            other = await self._other(shown, unhappy, chance)
        return (first,) if other is None else (first, await self._show(other, chosen, chance))

    async def _show(self, shown: ShownText, raters: Sequence[Rater], chance: Random) -> TextOutcome:
        # Each rater's chance is drawn before they act at once, so their order cannot change the outcome.
        seeds = [chance.random() for _ in raters]
        responses = await asyncio.gather(
            *(rate(self._world, rater, shown, Random(seed)) for rater, seed in zip(raters, seeds, strict=True))
        )
        return TextOutcome(shown.text, self.liking(shown.text, shown.asked), tuple(responses))

    async def _other(self, shown: ShownText, unhappy: Sequence[Rater], chance: Random) -> ShownText | None:
        """The text that the first of the unhappy who wants another gets; None when nobody does, or it does not come."""
        for rater in unhappy:
            message = await want_another(self._world, rater, shown, chance)
            if message is not None:
                return await self._answer(message, shown.asked)
        return None

    async def _answer(self, message: SeenMessage, asked: Asked) -> ShownText | None:
        """The first finished text, known by its rating buttons, that replies to a message."""
        try:
            answer = await self._world.until_or_stalled(
                lambda: next((each for each in self._world.answers(message) if each.button(LIKE)), None),
                activity=lambda: self._answers, stall_seconds=self.stall_seconds, complaint="Nobody has been answered",
            )  # fmt: skip
        except NoProgress:
            self._has_given_up = True
            return None
        self._answers += 1
        return ShownText(answer, asked)


def summary(rated: Sequence[TextOutcome], *, unanswered: int) -> Evening:
    """The numbers of an evening whose texts stand in the order of their prompts."""
    responses = [response for each in rated for response in each.responses]
    return Evening(
        generations=len(rated),
        likes=sum(response.liked is True for response in responses),
        dislikes=sum(response.liked is False for response in responses),
        silent=sum(response.liked is None for response in responses),
        reasons=sum(response.gave_reason for response in responses),
        true_liking=sum(each.liking for each in rated) / len(rated) if rated else 0.0,
        distinct_2=diversity([each.text for each in rated]),
        unanswered=unanswered,
    )


def diversity(texts: Sequence[str]) -> float:
    """Distinct-2 of the words, whatever their case (Li et al. 2016, arXiv 1510.03055)."""
    return distinct_2([words_of(text) for text in texts], pairs=DIVERSITY_PAIRS)
