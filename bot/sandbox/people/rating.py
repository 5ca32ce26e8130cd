"""What is on the screen of somebody in the group: finished texts, their buttons, the question for consent.

Knows a generation only by what everybody sees: a reply with rating buttons whose last paragraph is the footer.

What one person does with one text: look, react or press, perhaps say why, perhaps want another.

Knows the screen and the person's character; all chance comes from the caller.

What an evening came to: numbers about texts, opinions and their hidden liking. Knows no chat.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from bot.sandbox.people.judges import Judge
from bot.sandbox.people.tastes import width
from bot.sandbox.people.topics import ANYTHING, Asked
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Chat, SeenMessage
from bot.sandbox.world.world import World
from engine.runs.text_metrics import distinct_2

LIKE, DISLIKE, AGAIN, REASON, CONSENT = "up:", "down:", "again:", "why:", "optin"
"""How the callback data of the buttons begin."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A finished text as people see it, and what it was asked for, where they have seen that."""

    message: SeenMessage
    asked: Asked = ANYTHING

    @property
    def text(self) -> str:
        """What the model wrote."""
        return without_footer(self.message.text)


def finished_answer(world: World, to: SeenMessage) -> SeenMessage | None:
    """The finished text that replies to a message; None while there is none."""
    return next((each for each in world.answers(to) if each.button(LIKE)), None)


def finished_texts(world: World, chat: Chat) -> Iterator[Shown]:
    """All finished texts in a chat, oldest first."""
    return (Shown(message) for message in world.messages(chat) if message.button(LIKE))


def without_footer(text: str) -> str:
    """The generation without its last paragraph, which holds label, version and id."""
    return text.rpartition("\n\n")[0] or text


LONGEST_PAUSE_SECONDS = 0.4
"""People look at a text for up to this long before they react; short, since an evening should pass quickly."""
REASON_SECONDS = 4.0
"""For this long somebody who would say why waits to be asked; the bot asks with its next count."""
TOO_LONG, LONG_WIDTH = ":too_long", 120
"""A reason, and from which width on people give it."""
WISHES = {
    "en": ("shorter, please", "make it warmer", "less loud, please", "ask me something", "more pictures, please"),
    "zh": ("短一点", "温暖一些", "别那么吵", "问我点什么", "多一点画面"),
}


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody did with a text; `liked` is None for those who kept silent."""

    liked: bool | None = None
    gave_reason: bool = False


async def rate(world: World, judge: Judge, shown: Shown, chance: Random) -> Opinion:
    """React or press, or keep silent."""
    await asyncio.sleep(chance.uniform(0.0, LONGEST_PAUSE_SECONDS))
    if judge.is_silent(chance):
        return Opinion()
    liked = judge.likes(shown.text, chance, shown.asked)
    button = shown.message.button(LIKE if liked else DISLIKE)
    try:
        if button is not None and judge.prefers_buttons(chance):
            await world.press(judge.person, shown.message, button.callback_data or "")
        else:
            world.react(judge.person, shown.message, [judge.emoji(liked=liked, chance=chance)])
    except WorldError:
        return Opinion()  # the message is gone: nothing left to rate
    gave_reason = not liked and judge.gives_reason(chance) and await _say_why(world, judge, shown, chance)
    return Opinion(liked, gave_reason)


async def want_another(world: World, judge: Judge, shown: Shown, chance: Random) -> SeenMessage | None:
    """Press 🔁, or reply with a wish; returns the message that the new text will reply to, None without one."""
    again = shown.message.button(AGAIN)
    try:
        if again is not None and judge.asks_again(chance):
            await world.press(judge.person, shown.message, again.callback_data or "")
            return shown.message
        if judge.refines(chance):
            wish = chance.choice(WISHES[judge.person.language])
            return world.say(judge.person, shown.message.chat, wish, reply_to=shown.message)
    except WorldError:
        return None
    return None


async def _say_why(world: World, judge: Judge, shown: Shown, chance: Random) -> bool:
    """Press one of the reasons that the bot offers under the text, if it offers any soon."""
    try:
        asking = await world.until(lambda: _asking(world, shown.message), REASON_SECONDS)
        return await world.press(judge.person, asking, chance.choice(_reasons(asking, shown.text))) is not None
    except (TimeoutError, WorldError):
        return False  # nobody asks, or does not any more


def _reasons(asking: SeenMessage, text: str) -> list[str]:
    """The reasons on the buttons that may be true of the text."""
    offered = [data for button in asking.buttons if (data := button.callback_data or "").startswith(REASON)]
    return [data for data in offered if width(text) >= LONG_WIDTH or not data.endswith(TOO_LONG)] or offered


def _asking(world: World, message: SeenMessage) -> SeenMessage | None:
    now = world.current(message)
    return now if now.button(REASON) else None


DIVERSITY_PAIRS = 1000
"""Diversity is taken over so many pairs of words, in the order of the prompts, so that evenings can be compared."""

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")  # a Chinese character counts as a word


@dataclass(frozen=True, slots=True)
class Rated:
    """One text, its hidden liking (the share of people who like such a text), and what those did who were shown it."""

    text: str
    liking: float
    opinions: tuple[Opinion, ...]


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


def summary(rated: Sequence[Rated], *, unanswered: int) -> Evening:
    """The numbers of an evening whose texts stand in the order of their prompts."""
    opinions = [opinion for each in rated for opinion in each.opinions]
    return Evening(
        generations=len(rated),
        likes=sum(opinion.liked is True for opinion in opinions),
        dislikes=sum(opinion.liked is False for opinion in opinions),
        silent=sum(opinion.liked is None for opinion in opinions),
        reasons=sum(opinion.gave_reason for opinion in opinions),
        true_liking=sum(each.liking for each in rated) / len(rated) if rated else 0.0,
        distinct_2=diversity([each.text for each in rated]),
        unanswered=unanswered,
    )


def diversity(texts: Sequence[str]) -> float:
    """Distinct-2 of the words, whatever their case (Li et al. 2016, arXiv 1510.03055)."""
    numbers: dict[str, int] = {}
    words = [[numbers.setdefault(word.lower(), len(numbers)) for word in _WORD.findall(text)] for text in texts]
    return distinct_2(words, pairs=DIVERSITY_PAIRS)
