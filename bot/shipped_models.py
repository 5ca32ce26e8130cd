"""The models that Ovation knows by name, and what each can write. Knows names only, no weights."""

from collections.abc import Mapping

from engine.errors import ModelError
from engine.sources import find_source

SHIPPED: Mapping[str, tuple[str, ...] | None] = {
    "starter": None,
    "vae": ("slogan", "title", "poem"),
    "gan": ("slogan",),
}
"""The kinds of each; None for one that is told by an instruction what to write, as any other model is."""


def writes(model: str, kind: str) -> bool:
    """Whether a model, also a folder or a hub id, can be asked for this kind."""
    kinds = SHIPPED.get(model)
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
