"""Simulated people in a group with the bot: crowds that rate by taste, and brigades that push.

All of it goes through the people's verbs of the world, the same path as a person in the web chat. The pure parts, which
need no world, lie beside this package: `tastes`, `judges`, `topics`, `surface`.
"""

from bot.sandbox.people.brigade import Brigade
from bot.sandbox.people.crowd import Audience
from bot.sandbox.people.evenings import Evening
from bot.sandbox.people.screen import without_footer

__all__ = ["Audience", "Brigade", "Evening", "without_footer"]
