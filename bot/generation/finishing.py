"""From a text as the model wrote it to the text that people see, and what is still wrong with it."""

from dataclasses import dataclass

from bot.common.kinds import Kind
from bot.common.text import sanitize
from engine.api.types import FinishReason, Reply


@dataclass(frozen=True, slots=True)
class Draft:
    """A text as the model wrote it."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Finished:
    """A text as people would see it."""

    text: str
    faults: tuple[str, ...] = ()
    """What is wrong with it all the same, as "cut" or "loop"; a text with a fault is shown only where all have one."""
    quality: float = 0.0
    """How good it is before anybody has rated anything, as log-odds; higher is better."""


def finish(draft: Draft, *, request: str, kind: Kind, language: str) -> Finished:
    """Clean a draft that answers `request`, and judge it."""
    text = sanitize(draft.text)
    return Finished(text, () if text else ("empty",))


def finish_all(reply: Reply, *, request: str, kind: Kind, language: str) -> list[Finished]:
    """All texts of a reply, in their order."""
    return [
        finish(Draft(each.text, each.finish_reason), request=request, kind=kind, language=language)
        for each in reply.texts
    ]
