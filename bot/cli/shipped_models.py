"""The models that Ovation knows by name, and what each can write. Knows names only, no weights."""

from engine.api.sources import SHIPPED, find_source
from engine.errors import ModelError
from recipes.latent.lessons import LESSONS


def kinds_of(model: str) -> tuple[str, ...] | None:
    """The only kinds that a model, also a folder or a hub id, can be asked for; None for one that takes any."""
    lessons = LESSONS.get(model)
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
