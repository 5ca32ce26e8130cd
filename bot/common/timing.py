"""How long the bot waits before it looks, shows or tries again; seconds everywhere. Tests shorten all of it at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The waits of one bot. No operator has had a reason to change them, so they are no settings."""

    counts: float = 2.0
    """From a rating to the edit that shows the new count, so that a shower of reactions is one edit."""
    offer: float = 60.0
    """How long a 👎 may be explained by a button, and a text be changed by one."""
    reaction_test: float = 30.0
    """`/check`: without a reaction for so long the message says what to do."""
    inline_quiet: float = 1.0
    """Nobody may have typed on for so long before inline takes are written."""
    taste_quiet: float = 3.0
    """The taste is fitted once no rating has come for so long …"""
    taste_longest: float = 15.0
    """… or the first has waited for this."""
    trial_look: float = 5.0
    """Between two looks at the ratings of a version on trial."""
    progress: float = 3.0
    """Between two edits of the message that shows how far a run is."""
    conflict: float = 10.0
    """A bot that meets another poller for so long after its start gives up; one that was there first stays."""
    retry: float = 3.0
    """At the start, before a Telegram or an engine that cannot be reached is tried again."""


USUAL = Timing()
