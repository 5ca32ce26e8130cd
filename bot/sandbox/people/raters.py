"""Simulated people who rate: strict or mild, noisy, often or always silent, some of them contrary.

A rater turns a text into an opinion, an opinion into a reaction or a press, and may say why or want another text. All
chance comes from the caller's random generator, so that the same seed gives the same evening whatever order things
happen in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from random import Random

from bot.sandbox.people.tastes import ANYTHING, Asked, Style, Taste, shifted, width
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Person, SeenMessage
from bot.sandbox.world.world import World

LIKES = ("👍", "❤", "🔥", "😁", "🎉", "👏", "🥰", "💯")
DISLIKES = ("👎", "💩", "🤮", "🥱", "😴")

LIKE, DISLIKE, AGAIN, REASON = "up:", "down:", "again:", "why:"
"""How the callback data of the buttons begin."""
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
class Temper:
    """How a crowd rates: shares from 0 to 1, and a spread.

    strictness_spread: standard deviation of people's shift in log-odds.
    noise: share of opinions that are a coin toss.
    silence: chance that somebody who was shown a text does not react.
    contrarians: share of people who like what others do not.
    button_share: share of ratings given by button instead of by reaction.
    lurkers: share of people who never react at all.
    reasons: chance that somebody who disliked a text says why, where the bot asks.
    again: chance that somebody who disliked a text presses 🔁.
    refines: chance that they say instead what they would rather have.

    Raises:
        ValueError: a share is not within 0 and 1, or the spread is negative.
    """

    strictness_spread: float = 0.4
    noise: float = 0.08
    silence: float = 0.25
    contrarians: float = 0.05
    button_share: float = 0.2
    lurkers: float = 0.0
    reasons: float = 0.3
    again: float = 0.04
    refines: float = 0.02

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value < 0.0 or (value > 1.0 and each.name != "strictness_spread"):
                raise ValueError(f"{each.name} must be from 0 to 1, not {value}")


COIN_TOSSES = Temper(noise=1.0)
"""A crowd without any taste."""


@dataclass(frozen=True, slots=True)
class Rater:
    """One simulated person. `shift` moves the log-odds of a like; `favourites` are the emoji they reach for."""

    person: Person
    taste: Style
    temper: Temper
    shift: float
    is_contrarian: bool
    favourites: tuple[str, str]
    is_lurker: bool

    def chance_of_like(self, text: str, asked: Asked = ANYTHING) -> float:
        """Before noise: the taste's liking, shifted by the person's mildness, turned round for contrarians."""
        chance = shifted(self.taste.liking(text, asked), self.shift)
        return 1.0 - chance if self.is_contrarian else chance

    def likes(self, text: str, chance: Random, asked: Asked = ANYTHING) -> bool:
        """One opinion."""
        if chance.random() < self.temper.noise:
            return chance.random() < 0.5
        return chance.random() < self.chance_of_like(text, asked)

    def is_silent(self, chance: Random) -> bool:
        """Whether this person lets a text pass without a rating."""
        return chance.random() < self.temper.silence or self.is_lurker

    def emoji(self, *, liked: bool, chance: Random) -> str:
        """Mostly the favourite emoji, sometimes another of the same meaning."""
        if chance.random() < 0.6:
            return self.favourites[0 if liked else 1]
        return chance.choice(LIKES if liked else DISLIKES)


def make_raters(people: Sequence[Person], taste: Taste, temper: Temper, seed: str) -> tuple[Rater, ...]:
    """A crowd, in which lurkers and camps have their exact shares, however small it is."""
    size = len(people)
    places = Random(f"{seed} places").sample(range(size), size)
    lurkers = Random(f"{seed} lurkers").sample(range(size), round(size * temper.lurkers))
    raters = []
    for index, person in enumerate(people):
        chance = Random(f"{seed} person {index}")
        raters.append(
            Rater(
                person,
                taste.of((places[index] + 0.5) / size),
                temper,
                shift=chance.gauss(0.0, temper.strictness_spread),
                is_contrarian=chance.random() < temper.contrarians,
                favourites=(chance.choice(LIKES), chance.choice(DISLIKES)),
                is_lurker=index in lurkers,
            )
        )
    return tuple(raters)


@dataclass(frozen=True, slots=True)
class ShownText:
    """A finished text as people see it, and what it was asked for."""

    message: SeenMessage
    asked: Asked

    @property
    def text(self) -> str:
        """What the model wrote."""
        return without_footer(self.message.text)


def without_footer(text: str) -> str:
    """The generation without its last paragraph, which holds label, version and id."""
    return text.rpartition("\n\n")[0] or text


@dataclass(frozen=True, slots=True)
class RaterResponse:
    """What somebody did with a text; `liked` is None for those who kept silent."""

    liked: bool | None = None
    gave_reason: bool = False


async def rate(world: World, rater: Rater, shown: ShownText, chance: Random) -> RaterResponse:
    """React or press, or keep silent; after a dislike perhaps say why."""
    await asyncio.sleep(chance.uniform(0.0, LONGEST_PAUSE_SECONDS))
    if rater.is_silent(chance):
        return RaterResponse()
    liked = rater.likes(shown.text, chance, shown.asked)
    button = shown.message.button(LIKE if liked else DISLIKE)
    try:
        if button is not None and chance.random() < rater.temper.button_share:
            await world.press(rater.person, shown.message, button.callback_data)
        else:
            world.react(rater.person, shown.message, [rater.emoji(liked=liked, chance=chance)])
    except WorldError:
        return RaterResponse()  # the message is gone: nothing left to rate
    says_why = not liked and chance.random() < rater.temper.reasons
    return RaterResponse(liked, says_why and await _say_why(world, rater, shown, chance))


async def want_another(world: World, rater: Rater, shown: ShownText, chance: Random) -> SeenMessage | None:
    """Press 🔁, or reply with a wish; returns the message that the new text will reply to, None without one."""
    again = shown.message.button(AGAIN)
    try:
        if again is not None and chance.random() < rater.temper.again:
            await world.press(rater.person, shown.message, again.callback_data)
            return shown.message
        if chance.random() < rater.temper.refines:
            wish = chance.choice(WISHES[rater.person.language])
            return world.say(rater.person, shown.message.chat, wish, reply_to=shown.message)
    except WorldError:
        return None
    return None


async def _say_why(world: World, rater: Rater, shown: ShownText, chance: Random) -> bool:
    """Press one of the reasons that the bot offers under the text and that may be true, if it offers any soon."""

    def asking() -> SeenMessage | None:
        message = world.current(shown.message)
        return message if message.button(REASON) else None

    try:
        message = await world.until(asking, REASON_SECONDS)
        offered = [each.callback_data for each in message.buttons if each.callback_data.startswith(REASON)]
        true = [data for data in offered if width(shown.text) >= LONG_WIDTH or not data.endswith(TOO_LONG)]
        return await world.press(rater.person, message, chance.choice(true or offered)) is not None
    except (TimeoutError, WorldError):
        return False  # nobody asks, or does not any more
