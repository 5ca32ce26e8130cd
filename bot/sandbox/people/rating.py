"""What one person does with one text: look, react or press, perhaps say why, perhaps want another.

Knows the screen and the person's character; all chance comes from the caller.
"""

import asyncio
from dataclasses import dataclass
from random import Random

from bot.sandbox.people.judges import Judge
from bot.sandbox.people.screen import AGAIN, DISLIKE, LIKE, REASON, Shown
from bot.sandbox.people.surface import width
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import SeenMessage
from bot.sandbox.world.world import World

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
