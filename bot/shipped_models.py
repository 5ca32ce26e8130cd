"""The models that Ovation knows by name, and what each can write. Knows names only, no weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import ModelError
from engine.sources import find_source


@dataclass(frozen=True, slots=True)
class Lessons:
    """The texts of the grammar that a small generator has learned from, as `engine.starter.skeletons` makes them."""

    kinds: tuple[str, ...]
    """It writes no others."""
    themed: bool = True
    texts: int = 40_000


SHIPPED: Mapping[str, Lessons | None] = {
    "starter": None,
    "vae": Lessons(("slogan", "title", "poem")),
    "gan": Lessons(("slogan",), themed=False, texts=20_000),
}
"""None for one that is told by an instruction what to write, as any other model is."""


def kinds_of(model: str) -> tuple[str, ...] | None:
    """The only kinds that a model, also a folder or a hub id, can be asked for; None for one that takes any."""
    lessons = SHIPPED.get(model)
    return None if lessons is None else lessons.kinds


def writes(model: str, kind: str) -> bool:
    """Whether a model, also a folder or a hub id, can be asked for this kind."""
    kinds = kinds_of(model)
    return kinds is None or kind in kinds


def shipped_here() -> list[str]:
    """Those whose weights are there."""
    return [model for model in SHIPPED if _is_here(model)]


def _is_here(model: str) -> bool:
    try:
        find_source(model)
    except ModelError:
        return False
    return True
