"""The rules that every text of this bot is written by. Knows what they are, not how they are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.common.kinds import Kinds
from bot.moderation.inspection import Inspection


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every text."""

    kinds: Kinds
    label: str
    """Says under each that a machine wrote it."""
    inspection: Inspection
    fingerprint_of: Callable[[str], Sequence[int]]
    """The numbers by which a text is found again."""
